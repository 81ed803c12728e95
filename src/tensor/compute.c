/* See compute.h. */
#include "tensor/compute.h"

#include <stdlib.h>

#include "tensor/gemm.h"

static const struct row_kernels *choose_rows(const struct cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->level == CPU_AVX512)
        return &row_kernels_avx512;
    if (cpu->level == CPU_AVX2)
        return &row_kernels_avx2;
#endif
    return &row_kernels_baseline;
}

static void choose_gemm(struct compute *compute)
{
    compute->gemm_f32 = &gemm_kernels_baseline;
    compute->gemm_bf16 = &gemm_kernels_baseline_bf16;
#if defined(__x86_64__)
    if (compute->cpu.level == CPU_AVX2) {
        compute->gemm_f32 = &gemm_kernels_avx2;
        compute->gemm_bf16 = &gemm_kernels_avx2_bf16;
    } else if (compute->cpu.level == CPU_AVX512) {
        compute->gemm_f32 = &gemm_kernels_avx512;
        compute->gemm_bf16 = compute->cpu.bf16 ? &gemm_kernels_bf16 : &gemm_kernels_avx512_bf16;
    }
#endif
}

enum status compute_create(int threads, enum matmul_precision precision, struct compute *compute,
                           struct error *error)
{
    *compute = (struct compute){.cpu = cpu_detect(), .precision = precision};
    compute->kernels = choose_rows(&compute->cpu);
    choose_gemm(compute);
    enum status status = thread_pool_create(threads, &compute->pool, error);
    if (status != STATUS_OK)
        return status;
    size_t scratch = COMPUTE_SCRATCH_BYTES * (size_t)thread_pool_size(compute->pool);
    compute->scratch = aligned_alloc(64, scratch);
    compute->panels = aligned_alloc(64, GEMM_PANEL_BYTES);
    if (compute->scratch && compute->panels)
        return STATUS_OK;
    compute_free(compute);
    return error_no_memory(error, scratch + GEMM_PANEL_BYTES);
}

void compute_free(struct compute *compute)
{
    thread_pool_free(compute->pool);
    free(compute->scratch);
    free(compute->panels);
    *compute = (struct compute){0};
}

void *compute_scratch(const struct compute *compute, int thread)
{
    return compute->scratch + COMPUTE_SCRATCH_BYTES * (size_t)thread;
}
