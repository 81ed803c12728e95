/* What this processor can do. Kernels come in levels; a table of function pointers is chosen once,
 * from the level found here. ADZE_CPU in the environment lowers the level, which is how tests
 * force each one on a machine that has them all. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>

enum cpu_level {
    CPU_BASELINE, /* plain x86-64, and any other architecture */
    CPU_AVX2,     /* AVX2, FMA, F16C */
    CPU_AVX512,   /* AVX-512 F, BW, DQ, VL */
};

struct cpu {
    enum cpu_level level;
    bool vnni; /* AVX-512 VNNI, only with CPU_AVX512 */
    bool bf16; /* AVX-512 BF16, only with CPU_AVX512 */
    char name[64];
};

/* Detects the processor; an ADZE_CPU of baseline, avx2, avx512, or full lowers the level (avx512
 * also switches VNNI and BF16 off). Unknown words are ignored here; the command line rejects
 * them.*/
struct cpu cpu_detect(void);

/* "AVX-512 with VNNI and BF16" and the like; a constant string. */
const char *cpu_describe(const struct cpu *cpu);

#endif
