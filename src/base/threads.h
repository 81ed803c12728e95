/* A pool of threads for compute. A call cuts work into pieces, which the workers and the caller
 * take in turn; it returns when all pieces are done, without waiting for workers that came too late
 * to take one. So a worker that the system has put aside for another process does not hold up a
 * call. Between calls the workers spin briefly, then sleep: kernels come in quick succession, but
 * an idle server must not burn a core. */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#include <stdint.h>

#include "base/error.h"

struct thread_pool;

/* `threads` >= 1; 0 means all cores that this process may use. Free with thread_pool_free. */
enum status thread_pool_create(int threads, struct thread_pool **pool, struct error *error);
void thread_pool_free(struct thread_pool *pool);
/* Number of threads; 1 for a NULL pool, which every function here accepts and runs inline. */
int thread_pool_size(const struct thread_pool *pool);

/* Cuts [0, count) into pieces of at most `grain` and calls work(context, begin, end, thread) for
 * each; pieces are handed out in order to whichever thread is free. A result must not depend on
 * the thread number, which is there to choose scratch memory. Work that fits one piece runs inline.
 * Not reentrant: work must not call back into the same pool. */
void thread_pool_for(struct thread_pool *pool, int64_t count, int64_t grain,
                     void (*work)(void *, int64_t begin, int64_t end, int thread), void *context);

/* Cores that this process may use, at least 1. */
int thread_cores(void);

#endif
