/* replay_main.c: feeds every file of the given folders to a fuzz target, once: the corpus as an ordinary
 * test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

/* A copy of exactly the file's size on the heap, so that the address sanitizer sees one byte too many. */
static int replay_file(const char *path)
{
    struct stat info;
    FILE *file = fopen(path, "rb");

    if (file == NULL || fstat(fileno(file), &info) != 0) {
        perror(path);
        return -1;
    }
    size_t data_len = (size_t)info.st_size;
    uint8_t *data = mem_alloc(data_len);
    size_t got = fread(data, 1, data_len, file);
    fclose(file);
    if (got == data_len)
        LLVMFuzzerTestOneInput(data, data_len);
    free(data);
    return got == data_len ? 0 : -1;
}

static int replay_folder(const char *folder)
{
    int count = 0;
    struct dirent *entry;
    DIR *dir = opendir(folder);

    if (dir == NULL) {
        perror(folder);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = mem_printf("%s/%s", folder, entry->d_name);
        int failed = replay_file(path);
        free(path);
        if (failed) {
            closedir(dir);
            return -1;
        }
        count++;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: %s\n", argv[i], count == 0 ? "the corpus is empty" : "cannot be replayed");
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], count);
    }
    return 0;
}
