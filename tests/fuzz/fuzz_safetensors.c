/* safetensors: every byte that an entry claims must be there. */
#include "file/safetensors.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors file;
    struct error error;
    if (safetensors_open(fuzz_file(data, size, ".safetensors"), &file, &error) != STATUS_OK)
        return 0;
    volatile unsigned int sum = 0; /* so that the bytes are read */
    for (int64_t i = 0; i < file.count; i++)
        for (size_t at = 0; at < file.entries[i].bytes; at++)
            sum = sum + ((const unsigned char *)file.entries[i].data)[at];
    safetensors_close(&file);
    return 0;
}
