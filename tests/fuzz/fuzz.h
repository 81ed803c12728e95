/* What the fuzz targets share: the input as a file, for readers that take paths. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the input to a file of this process in memory; the name is constant. */
static inline const char *fuzz_file(const uint8_t *data, size_t size, const char *ending)
{
    static char path[64];
    snprintf(path, sizeof path, "/dev/shm/adze-fuzz-%d%s", (int)getpid(), ending);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
    return path;
}

#endif
