/* See threads.h. The caller fills in the call, then opens it by raising the generation, with the
 * lowest bit set; workers spin on the generation for a while, then sleep on a condition. A worker
 * announces itself (`inside`) before it looks whether the call is still open, and the caller closes
 * the call before it looks whether anyone is inside: one of the two always sees the other. */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SPIN_ROUNDS 4000 /* about 20-40 us of pause instructions */

struct thread_pool {
    int threads;
    pthread_t *workers;
    void (*work)(void *, int64_t, int64_t, int);
    void *context;
    int64_t count, grain;
    atomic_llong next;      /* first item that nobody has taken */
    atomic_uint generation; /* odd: a call is open */
    atomic_int inside;      /* workers that may be at work */
    atomic_int sleepers;
    atomic_int stop;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_cond_t left;
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

/* Waits for an open call other than `seen`, or for the end. */
static unsigned wait_for_call(struct thread_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        unsigned generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (generation != seen && generation % 2 == 1)
            return generation;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    unsigned generation = atomic_load(&pool->generation);
    while ((generation == seen || generation % 2 == 0) && !atomic_load(&pool->stop)) {
        pthread_cond_wait(&pool->wake, &pool->mutex);
        generation = atomic_load(&pool->generation);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
    return generation;
}

static void take_pieces(struct thread_pool *pool, int thread)
{
    for (;;) {
        int64_t begin = atomic_fetch_add(&pool->next, pool->grain);
        if (begin >= pool->count)
            return;
        int64_t end = begin + pool->grain;
        pool->work(pool->context, begin, end < pool->count ? end : pool->count, thread);
    }
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
        atomic_fetch_add(&pool->inside, 1);
        if (atomic_load(&pool->generation) == seen)
            take_pieces(pool, start.thread);
        if (atomic_fetch_sub(&pool->inside, 1) == 1) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->left);
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

static void wake_sleepers(struct thread_pool *pool)
{
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
    pthread_cond_init(&pool->left, NULL);
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
    atomic_fetch_or(&pool->generation, 1); /* ends the spinning */
    atomic_fetch_add(&pool->generation, 2);
    wake_sleepers(pool);
    for (int i = 1; i < pool->threads; i++)
        pthread_join(pool->workers[i], NULL);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->left);
    free(pool->workers);
    free(pool);
}

/* Waits until no worker is inside the closed call. */
static void wait_until_left(struct thread_pool *pool)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(&pool->inside, memory_order_acquire) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load(&pool->inside) != 0)
        pthread_cond_wait(&pool->left, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

void thread_pool_for(struct thread_pool *pool, int64_t count, int64_t grain,
                     void (*work)(void *, int64_t, int64_t, int), void *context)
{
    grain = grain > 0 ? grain : 1;
    if (count <= grain || thread_pool_size(pool) == 1) {
        for (int64_t begin = 0; begin < count; begin += grain)
            work(context, begin, begin + grain < count ? begin + grain : count, 0);
        return;
    }
    pool->work = work;
    pool->context = context;
    pool->count = count;
    pool->grain = grain;
    atomic_store(&pool->next, 0);
    atomic_fetch_add(&pool->generation, 1); /* open */
    wake_sleepers(pool);
    take_pieces(pool, 0);
    atomic_fetch_add(&pool->generation, 1); /* closed */
    wait_until_left(pool);
}
