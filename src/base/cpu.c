/* See cpu.h. The compiler's own detection also asks whether the kernel saves the wide registers. */
#include "base/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_name(char *name, size_t size)
{
    snprintf(name, size, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = 0;
            snprintf(name, size, "%.*s", (int)size - 1, colon + 2);
            break;
        }
    }
    fclose(file);
}

struct cpu cpu_detect(void)
{
    struct cpu cpu = {0};
    read_name(cpu.name, sizeof cpu.name);
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        cpu.level = CPU_AVX2;
    if (cpu.level == CPU_AVX2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        cpu.level = CPU_AVX512;
        cpu.vnni = __builtin_cpu_supports("avx512vnni");
        cpu.bf16 = __builtin_cpu_supports("avx512bf16");
    }
#endif
    const char *wish = getenv("ADZE_CPU");
    if (!wish)
        return cpu;
    enum cpu_level limit = cpu.level;
    if (strcmp(wish, "baseline") == 0)
        limit = CPU_BASELINE;
    else if (strcmp(wish, "avx2") == 0)
        limit = CPU_AVX2;
    if (limit < cpu.level)
        cpu.level = limit;
    if (cpu.level < CPU_AVX512 || strcmp(wish, "avx512") == 0)
        cpu.vnni = cpu.bf16 = false;
    return cpu;
}

const char *cpu_describe(const struct cpu *cpu)
{
    if (cpu->level == CPU_AVX512) {
        if (cpu->vnni && cpu->bf16)
            return "AVX-512 with VNNI and BF16";
        if (cpu->vnni)
            return "AVX-512 with VNNI";
        return cpu->bf16 ? "AVX-512 with BF16" : "AVX-512";
    }
    return cpu->level == CPU_AVX2 ? "AVX2" : "baseline";
}
