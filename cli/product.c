/* product list, show. */
#include "handlers.h"

#include <stdlib.h>

#include "base/mem.h"
#include "field.h"
#include "grid.h"
#include "names.h"

/* Names of a list, with commas between; the caller frees. */
static char *join(const json_t *list)
{
    char *text = mem_string("");
    json_t *one;
    size_t i;

    json_array_foreach (list, i, one) {
        const char *name = json_string_value(one);
        char *longer = mem_printf("%s%s%s", text, i > 0 ? ", " : "", name != NULL ? name : "?");
        free(text);
        text = longer;
    }
    return text;
}

static void add_row(struct grid *grid, const json_t *product)
{
    char platform[NAMES_SIZE];
    char *groups = join(json_object_get(product, "groups"));

    names_platform(platform, (long)field_integer(product, "platform_id"));
    grid_addf(grid, "%lld", (long long)field_integer(product, "id"));
    grid_add(grid, field_text(product, "slug"));
    grid_add(grid, platform);
    grid_add(grid, field_text(product, "user"));
    grid_add(grid, groups);
    grid_add(grid, field_text(product, "description"));
    free(groups);
}

enum cli_exit product_list_run(struct cli *cli)
{
    static const struct grid_column columns[] = {{.title = "ID", .right = true},
                                                 {.title = "SLUG", .shrinks = true},
                                                 {.title = "PLATFORM"},
                                                 {.title = "OWNER", .shrinks = true},
                                                 {.title = "GROUPS", .shrinks = true},
                                                 {.title = "DESCRIPTION", .shrinks = true}};
    struct grid *grid;
    json_t *answer, *product;
    size_t i;
    enum cli_exit code = cli_get(cli, &answer, "/v1/products");

    if (code != CLI_OK)
        return code;
    grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    if (!cli_print_json(cli, json_object_get(answer, "products"))) {
        json_array_foreach (json_object_get(answer, "products"), i, product)
            add_row(grid, product);
        if (grid_rows(grid) > 0)
            grid_print(grid, &cli->terminal, stdout);
        else
            cli_say(cli, "There is no product.");
    }
    grid_free(grid);
    json_decref(answer);
    return CLI_OK;
}

static void add_pair(struct grid *grid, const char *name, const char *value)
{
    if (value == NULL || *value == '\0')
        return;
    grid_add(grid, name);
    grid_add(grid, value);
}

static void print_product(const struct cli *cli, const json_t *product)
{
    static const struct grid_column columns[] = {{0}, {0}};
    struct grid *grid = grid_new(columns, 2);
    char platform[NAMES_SIZE];
    char *groups = join(json_object_get(product, "groups"));

    names_platform(platform, (long)field_integer(product, "platform_id"));
    grid_add(grid, "id");
    grid_addf(grid, "%lld", (long long)field_integer(product, "id"));
    add_pair(grid, "name", field_text(product, "name"));
    add_pair(grid, "slug", field_text(product, "slug"));
    add_pair(grid, "platform", platform);
    add_pair(grid, "owner", field_text(product, "user"));
    add_pair(grid, "groups", groups);
    add_pair(grid, "description", field_text(product, "description"));
    grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
    free(groups);
}

enum cli_exit product_show_run(struct cli *cli)
{
    json_t *answer;
    enum cli_exit code = cli_get(cli, &answer, "/v1/products/%s", call_argument(cli->call, 0));

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, json_object_get(answer, "product")))
        print_product(cli, json_object_get(answer, "product"));
    json_decref(answer);
    return code;
}
