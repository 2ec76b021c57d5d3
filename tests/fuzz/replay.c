/* replay: runs a fuzz target over the files of its corpus, for compilers without libFuzzer. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    long size;
    uint8_t *data;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        return -1;
    rewind(file);
    data = malloc(size ? (size_t)size : 1); /* exactly as large: a read beyond it is found */
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
        return -1;
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    char path[4096];
    struct dirent *entry;
    DIR *folder;
    int count = 0;

    if (argc != 2 || !(folder = opendir(argv[1]))) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        if (replay(path) < 0) {
            perror(path);
            return 1;
        }
        count++;
    }
    closedir(folder);
    printf("%d inputs replayed\n", count);
    return count ? 0 : 1; /* an empty corpus tests nothing */
}
