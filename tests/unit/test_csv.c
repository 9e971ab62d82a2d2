/* test_csv.c: fields that are quoted, and that no spreadsheet takes for a formula. */
#include "api/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_fields(void **state)
{
    char *text;
    size_t text_len;
    FILE *out = open_memstream(&text, &text_len);
    struct csv c = {.out = out};
    (void)state;
    csv_text(&c, "plain");
    csv_text(&c, NULL);
    csv_text(&c, "");
    csv_text(&c, "a,b");
    csv_text(&c, "say \"hi\"");
    csv_text(&c, "two\r\nlines");
    csv_end_line(&c);
    csv_text(&c, "=1+1");
    csv_text(&c, "+1");
    csv_text(&c, "-kitchen");
    csv_text(&c, "@sum");
    csv_text(&c, "\tx");
    csv_text(&c, "1=1");
    csv_end_line(&c);
    csv_number(&c, 0);
    csv_number(&c, -1);
    csv_bool(&c, true);
    csv_time(&c, 1404342900409);
    csv_time(&c, 0);
    csv_end_line(&c);
    fclose(out);
    assert_string_equal(text, "plain,,,\"a,b\",\"say \"\"hi\"\"\",\"two\r\nlines\"\r\n"
                              "\"'=1+1\",\"'+1\",\"'-kitchen\",\"'@sum\",\"'\tx\",1=1\r\n"
                              "0,,true,2014-07-02T23:15:00.409Z,\r\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
