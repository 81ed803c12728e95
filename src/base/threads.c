/* See threads.h. A call is announced by a generation counter: workers spin on it for a while, then
 * wait on a futex-backed condition. The caller takes part in the work and then waits for the rest
 * in the same way. */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SPIN_ROUNDS 4000 /* about 20-40 us of pause instructions */

struct thread_pool {
    int threads;
    pthread_t *workers;
    void (*work)(void *, int, int);
    void *context;
    atomic_uint generation;
    atomic_int running; /* workers that have not finished the current call */
    atomic_int sleepers;
    atomic_int stop;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_cond_t done;
};

struct worker_start {
    struct thread_pool *pool;
    int thread;
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static unsigned wait_for_call(struct thread_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        unsigned generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (generation != seen)
            return generation;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen)
        pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
    return atomic_load(&pool->generation);
}

static void *worker_main(void *argument)
{
    struct worker_start start = *(struct worker_start *)argument;
    free(argument);
    struct thread_pool *pool = start.pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_call(pool, seen);
        if (atomic_load(&pool->stop))
            return NULL;
        pool->work(pool->context, start.thread, pool->threads);
        if (atomic_fetch_sub(&pool->running, 1) == 1) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

int thread_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

int thread_pool_size(const struct thread_pool *pool)
{
    return pool ? pool->threads : 1;
}

static void announce(struct thread_pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
}

enum status thread_pool_create(int threads, struct thread_pool **result, struct error *error)
{
    *result = NULL;
    if (threads <= 0)
        threads = thread_cores();
    struct thread_pool *pool = calloc(1, sizeof *pool);
    pthread_t *workers = calloc((size_t)threads, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return error_no_memory(error, sizeof *pool + (size_t)threads * sizeof *workers);
    }
    pool->threads = 1;
    pool->workers = workers;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int i = 1; i < threads; i++) {
        struct worker_start *start = malloc(sizeof *start);
        if (start)
            *start = (struct worker_start){pool, i};
        if (!start || pthread_create(&workers[i], NULL, worker_main, start) != 0) {
            free(start);
            thread_pool_free(pool);
            return error_set(error, STATUS_FAILED, "could not start thread %d of %d", i + 1,
                             threads);
        }
        pool->threads = i + 1;
    }
    *result = pool;
    return STATUS_OK;
}

void thread_pool_free(struct thread_pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, 1);
    announce(pool);
    for (int i = 1; i < pool->threads; i++)
        pthread_join(pool->workers[i], NULL);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    free(pool->workers);
    free(pool);
}

void thread_pool_run(struct thread_pool *pool, void (*work)(void *, int, int), void *context)
{
    if (thread_pool_size(pool) == 1) {
        work(context, 0, 1);
        return;
    }
    pool->work = work;
    pool->context = context;
    atomic_store(&pool->running, pool->threads - 1);
    announce(pool);
    work(context, 0, pool->threads);
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(&pool->running, memory_order_acquire) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load(&pool->running) != 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

struct piecewise {
    atomic_llong next;
    int64_t count, grain;
    void (*work)(void *, int64_t, int64_t, int);
    void *context;
};

static void run_pieces(void *argument, int thread, int threads)
{
    (void)threads;
    struct piecewise *pieces = argument;
    for (;;) {
        int64_t begin = atomic_fetch_add(&pieces->next, pieces->grain);
        if (begin >= pieces->count)
            return;
        int64_t end = begin + pieces->grain;
        pieces->work(pieces->context, begin, end < pieces->count ? end : pieces->count, thread);
    }
}

void thread_pool_for(struct thread_pool *pool, int64_t count, int64_t grain,
                     void (*work)(void *, int64_t, int64_t, int), void *context)
{
    struct piecewise pieces = {0, count, grain > 0 ? grain : 1, work, context};
    if (count <= pieces.grain) {
        if (count > 0)
            work(context, 0, count, 0);
        return;
    }
    thread_pool_run(pool, run_pieces, &pieces);
}
