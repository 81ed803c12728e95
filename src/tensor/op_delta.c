/* See delta.h. One piece of work is a key head of a sequence, with the value heads that share it,
 * so that no two threads add to the same gradient. */
#include "tensor/delta.h"

#include <math.h>
#include <string.h>

#define LEAST 1e-6f

struct delta_node {
    struct tape_node node;
    struct delta_shape shape;
    struct tensor *mixed, *beta, *decay, *rate, *decay_bias;
    float *kept; /* (B, Hv, ceil(T / DELTA_KEEP), Dk, Dv): S before the token */
};

/* A token of a head: unit vectors and gates. */
struct delta_step {
    float q[DELTA_WIDTH_MOST], k[DELTA_WIDTH_MOST];
    const float *v;
    float q_inverse, k_inverse; /* 1 / length */
    float fade, learn;          /* a, b */
    float slope;                /* d log a / d decay */
    float log_fade;
};

static int64_t columns_of(const struct delta_shape *s)
{
    return 2 * s->key_heads * s->key_width + s->value_heads * s->value_width;
}

int64_t delta_state_values(const struct delta_shape *s)
{
    return s->value_heads * s->key_width * s->value_width;
}

/* The key head of a value head. */
static int64_t key_head_of(const struct delta_shape *s, int64_t head)
{
    return head % s->key_heads;
}

static float unit(int64_t width, const float *x, float scale, float *out)
{
    float sum = 0;
    for (int64_t i = 0; i < width; i++)
        sum += x[i] * x[i];
    float inverse = 1.0f / sqrtf(sum + LEAST);
    for (int64_t i = 0; i < width; i++)
        out[i] = x[i] * inverse * scale;
    return inverse;
}

static float logistic(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

static void read_step(const struct delta_shape *s, const struct delta_inputs *in, int64_t token,
                      int64_t head, struct delta_step *step)
{
    int64_t width = s->key_width, key_head = key_head_of(s, head);
    const float *row = in->mixed + token * columns_of(s);
    step->q_inverse = unit(width, row + key_head * width, 1.0f / sqrtf((float)width), step->q);
    step->k_inverse = unit(width, row + (s->key_heads + key_head) * width, 1.0f, step->k);
    step->v = row + 2 * s->key_heads * width + head * s->value_width;
    float level = in->decay[token * s->value_heads + head] + in->decay_bias[head];
    float rate = expf(in->rate[head]);
    step->log_fade = -rate * softplus(level);
    step->slope = -rate * logistic(level);
    step->fade = expf(step->log_fade);
    step->learn = logistic(in->beta[token * s->value_heads + head]);
}

/* S of a head after a token; `learned` (Dv) receives d, `missing` v - S'^T k. */
static void advance(const struct compute *compute, const struct delta_shape *s,
                    const struct delta_step *step, float *state, float *learned, float *missing)
{
    const struct row_kernels *rows = compute->kernels;
    int64_t width = s->value_width;
    memcpy(missing, step->v, (size_t)width * sizeof *missing);
    for (int64_t i = 0; i < s->key_width; i++) {
        rows->scale(width, step->fade, state + i * width, state + i * width);
        rows->axpy(width, -step->k[i], state + i * width, missing);
    }
    rows->scale(width, step->learn, missing, learned);
    for (int64_t i = 0; i < s->key_width; i++)
        rows->axpy(width, step->k[i], learned, state + i * width);
}

static void recall(const struct compute *compute, const struct delta_shape *s,
                   const struct delta_step *step, const float *state, float *out)
{
    memset(out, 0, (size_t)s->value_width * sizeof *out);
    for (int64_t i = 0; i < s->key_width; i++)
        compute->kernels->axpy(s->value_width, step->q[i], state + i * s->value_width, out);
}

static bool begins(const struct delta_shape *s, int64_t b, int64_t t)
{
    return t == 0 || (s->segment_start && s->segment_start[b * s->length + t] == t);
}

/* Going on. */

struct continue_job {
    const struct compute *compute;
    const struct delta_shape *shape;
    const struct delta_inputs *in;
    float *state, *out;
};

static void continue_heads(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct continue_job *job = context;
    const struct delta_shape *s = job->shape;
    float learned[DELTA_WIDTH_MOST], missing[DELTA_WIDTH_MOST];
    struct delta_step step;
    for (int64_t head = begin; head < end; head++) {
        float *state = job->state + head * s->key_width * s->value_width;
        for (int64_t t = 0; t < s->length; t++) {
            read_step(s, job->in, t, head, &step);
            advance(job->compute, s, &step, state, learned, missing);
            recall(job->compute, s, &step, state,
                   job->out + (t * s->value_heads + head) * s->value_width);
        }
    }
}

void delta_continue(const struct compute *compute, const struct delta_shape *shape,
                    const struct delta_inputs *in, float *state, float *out)
{
    struct continue_job job = {compute, shape, in, state, out};
    thread_pool_for(compute->pool, shape->value_heads, 1, continue_heads, &job);
}

/* On the tape. */

struct delta_job {
    struct tape *tape;
    const struct delta_node *n;
    float *out;                          /* forward */
    float *space;                        /* of a thread: backward's states */
    const float *dout;                   /* backward */
    float *mixed, *beta, *decay, *sides; /* gradients; sides (B, Hv, 2): of rate and decay_bias */
    bool mixed_add, beta_add, decay_add;
};

static struct delta_inputs inputs_of(const struct delta_node *n, int64_t b)
{
    int64_t first = b * n->shape.length;
    return (struct delta_inputs){n->mixed->data + first * columns_of(&n->shape),
                                 n->beta->data + first * n->shape.value_heads,
                                 n->decay->data + first * n->shape.value_heads, n->rate->data,
                                 n->decay_bias->data};
}

static float *kept_state(const struct delta_node *n, int64_t b, int64_t head, int64_t chunk)
{
    const struct delta_shape *s = &n->shape;
    int64_t chunks = (s->length + DELTA_KEEP - 1) / DELTA_KEEP,
            size = s->key_width * s->value_width;
    return n->kept + ((b * s->value_heads + head) * chunks + chunk) * size;
}

static void forward_heads(void *context, int64_t begin, int64_t end, int thread)
{
    const struct delta_job *job = context;
    const struct delta_node *n = job->n;
    const struct delta_shape *s = &n->shape;
    const struct compute *compute = job->tape->compute;
    size_t bytes = (size_t)(s->key_width * s->value_width) * sizeof(float);
    float *state = compute_scratch(compute, thread);
    float learned[DELTA_WIDTH_MOST], missing[DELTA_WIDTH_MOST];
    struct delta_step step;
    for (int64_t i = begin; i < end; i++) {
        int64_t b = i / s->value_heads, head = i % s->value_heads;
        struct delta_inputs in = inputs_of(n, b);
        for (int64_t t = 0; t < s->length; t++) {
            if (begins(s, b, t))
                memset(state, 0, bytes);
            if (n->kept && t % DELTA_KEEP == 0)
                memcpy(kept_state(n, b, head, t / DELTA_KEEP), state, bytes);
            read_step(s, &in, t, head, &step);
            advance(compute, s, &step, state, learned, missing);
            recall(compute, s, &step, state,
                   job->out + ((b * s->length + t) * s->value_heads + head) * s->value_width);
        }
    }
}

/* d x of a unit vector u = x / |x| times scale: (d u scale - u' (u' . d u scale)) / |x|, u' the
 * unit vector without its scale. */
static void unit_back(int64_t width, const float *u, float scale, float inverse, const float *du,
                      float *dx)
{
    float along = 0;
    for (int64_t i = 0; i < width; i++)
        along += u[i] / scale * du[i] * scale;
    for (int64_t i = 0; i < width; i++)
        dx[i] += (du[i] * scale - u[i] / scale * along) * inverse;
}

/* One token of a head, from the last to the first: ds is the gradient of S after the token, and
 * then of S before it. */
static void token_back(const struct delta_job *job, int64_t b, int64_t head, int64_t t,
                       const struct delta_step *step, const float *before, float *ds)
{
    const struct delta_node *n = job->n;
    const struct delta_shape *s = &n->shape;
    const struct row_kernels *rows = job->tape->compute->kernels;
    int64_t keys = s->key_width, width = s->value_width, token = b * s->length + t;
    const float *dout = job->dout + (token * s->value_heads + head) * width;
    float missing[DELTA_WIDTH_MOST], learned[DELTA_WIDTH_MOST], dlearned[DELTA_WIDTH_MOST];
    float dmissing[DELTA_WIDTH_MOST], row[DELTA_WIDTH_MOST];
    float dq[DELTA_WIDTH_MOST] = {0}, dk[DELTA_WIDTH_MOST] = {0}, dfade = 0;
    memcpy(missing, step->v, (size_t)width * sizeof *missing);
    for (int64_t i = 0; i < keys; i++)
        rows->axpy(width, -step->k[i] * step->fade, before + i * width, missing);
    rows->scale(width, step->learn, missing, learned);
    memset(dlearned, 0, (size_t)width * sizeof *dlearned);
    for (int64_t i = 0; i < keys; i++) {
        rows->scale(width, step->fade, before + i * width, row); /* S' */
        dq[i] = rows->dot(width, row, dout) + step->k[i] * rows->dot(width, learned, dout);
        rows->axpy(width, step->q[i], dout, ds + i * width);
        rows->axpy(width, step->k[i], ds + i * width, dlearned);
        dk[i] = rows->dot(width, ds + i * width, learned);
    }
    rows->scale(width, step->learn, dlearned, dmissing);
    for (int64_t i = 0; i < keys; i++) {
        dk[i] -= step->fade * rows->dot(width, before + i * width, dmissing);
        rows->axpy(width, -step->k[i], dmissing, ds + i * width);
        dfade += rows->dot(width, ds + i * width, before + i * width);
        rows->scale(width, step->fade, ds + i * width, ds + i * width);
    }
    int64_t key_head = key_head_of(s, head);
    float *mixed = job->mixed ? job->mixed + token * columns_of(s) : NULL;
    if (mixed) {
        unit_back(keys, step->q, 1.0f / sqrtf((float)keys), step->q_inverse, dq,
                  mixed + key_head * keys);
        unit_back(keys, step->k, 1.0f, step->k_inverse, dk,
                  mixed + (s->key_heads + key_head) * keys);
        rows->axpy(width, 1.0f, dmissing, mixed + 2 * s->key_heads * keys + head * width);
    }
    int64_t gate = token * s->value_heads + head;
    float dlevel = dfade * step->fade * step->slope;
    float dlearn = rows->dot(width, dlearned, missing);
    if (job->beta)
        job->beta[gate] =
            (job->beta_add ? job->beta[gate] : 0.0f) + dlearn * step->learn * (1 - step->learn);
    if (job->decay)
        job->decay[gate] = (job->decay_add ? job->decay[gate] : 0.0f) + dlevel;
    float *sides = job->sides + (b * s->value_heads + head) * 2;
    sides[0] += dfade * step->fade * step->log_fade;
    sides[1] += dlevel;
}

static void head_back(const struct delta_job *job, int64_t b, int64_t head, float *states)
{
    const struct delta_node *n = job->n;
    const struct delta_shape *s = &n->shape;
    const struct compute *compute = job->tape->compute;
    int64_t size = s->key_width * s->value_width;
    float *ds = states + (DELTA_KEEP + 1) * size, learned[DELTA_WIDTH_MOST],
          missing[DELTA_WIDTH_MOST];
    struct delta_inputs in = inputs_of(n, b);
    struct delta_step step;
    memset(ds, 0, (size_t)size * sizeof *ds);
    for (int64_t chunk = (s->length - 1) / DELTA_KEEP; chunk >= 0; chunk--) {
        int64_t first = chunk * DELTA_KEEP;
        int64_t count = s->length - first < DELTA_KEEP ? s->length - first : DELTA_KEEP;
        memcpy(states, kept_state(n, b, head, chunk), (size_t)size * sizeof *states);
        for (int64_t i = 0; i + 1 < count; i++) { /* states[i]: before token first + i */
            read_step(s, &in, first + i, head, &step);
            memcpy(states + (i + 1) * size, states + i * size, (size_t)size * sizeof *states);
            advance(compute, s, &step, states + (i + 1) * size, learned, missing);
            if (begins(s, b, first + i + 1))
                memset(states + (i + 1) * size, 0, (size_t)size * sizeof *states);
        }
        for (int64_t i = count - 1; i >= 0; i--) {
            read_step(s, &in, first + i, head, &step);
            token_back(job, b, head, first + i, &step, states + i * size, ds);
            if (begins(s, b, first + i))
                memset(ds, 0, (size_t)size * sizeof *ds);
        }
    }
}

/* A key head and the value heads that share it. */
static void backward_heads(void *context, int64_t begin, int64_t end, int thread)
{
    const struct delta_job *job = context;
    const struct delta_shape *s = &job->n->shape;
    int64_t group = s->value_heads / s->key_heads, size = s->key_width * s->value_width;
    float *states = job->space + thread * (DELTA_KEEP + 2) * size;
    for (int64_t i = begin; i < end; i++)
        for (int64_t g = 0; g < group; g++)
            head_back(job, i / s->key_heads, i % s->key_heads + g * s->key_heads, states);
}

static void add_sides(struct tape *tape, const struct delta_job *job, int which,
                      struct tensor *vector)
{
    const struct delta_shape *s = &job->n->shape;
    bool add;
    float *gradient = tape_gradient(tape, vector, &add);
    for (int64_t head = 0; gradient && head < s->value_heads; head++) {
        float sum = add ? gradient[head] : 0.0f;
        for (int64_t b = 0; b < s->batch; b++)
            sum += job->sides[(b * s->value_heads + head) * 2 + which];
        gradient[head] = sum;
    }
}

static void delta_back(struct tape *tape, struct tape_node *node)
{
    struct delta_node *n = (struct delta_node *)node;
    const struct delta_shape *s = &n->shape;
    struct delta_job job = {.tape = tape, .n = n, .dout = node->output->gradient};
    int threads = thread_pool_size(tape->compute->pool);
    size_t sides = (size_t)(s->batch * s->value_heads * 2) * sizeof(float);
    size_t space = (size_t)threads * (DELTA_KEEP + 2) * (size_t)(s->key_width * s->value_width) *
                   sizeof(float);
    job.mixed = tape_gradient(tape, n->mixed, &job.mixed_add);
    job.beta = tape_gradient(tape, n->beta, &job.beta_add);
    job.decay = tape_gradient(tape, n->decay, &job.decay_add);
    job.sides = tape_take(tape, sides);
    job.space = tape_take(tape, space);
    if (job.sides && job.space) {
        memset(job.sides, 0, sides);
        if (job.mixed && !job.mixed_add)
            memset(job.mixed, 0, (size_t)tensor_count(n->mixed) * sizeof *job.mixed);
        thread_pool_for(tape->compute->pool, s->batch * s->key_heads, 1, backward_heads, &job);
        add_sides(tape, &job, 0, n->rate);
        add_sides(tape, &job, 1, n->decay_bias);
    }
    tape_give(tape, job.space, space);
    tape_give(tape, job.sides, sides);
}

/* Forward mode, a head at a time: every value beside its tangent. */

static float tangent_of(const float *tangent, int64_t at)
{
    return tangent ? tangent[at] : 0.0f;
}

/* Tangent of a unit vector: (dx - u' (u' . dx)) / |x| times scale. */
static void unit_tangent(int64_t width, const float *u, float scale, float inverse, const float *dx,
                         float *du)
{
    float along = 0;
    for (int64_t i = 0; i < width; i++)
        along += u[i] / scale * tangent_of(dx, i);
    for (int64_t i = 0; i < width; i++)
        du[i] = scale * inverse * (tangent_of(dx, i) - u[i] / scale * along);
}

static void token_tangent(const struct delta_node *n, int64_t b, int64_t head, int64_t t,
                          const struct delta_step *step, float *state, float *dstate, float *out)
{
    const struct delta_shape *s = &n->shape;
    int64_t keys = s->key_width, width = s->value_width, token = b * s->length + t;
    int64_t key_head = key_head_of(s, head), gate = token * s->value_heads + head;
    const float *dmixed = n->mixed->tangent ? n->mixed->tangent + token * columns_of(s) : NULL;
    float dq[DELTA_WIDTH_MOST], dk[DELTA_WIDTH_MOST];
    unit_tangent(keys, step->q, 1.0f / sqrtf((float)keys), step->q_inverse,
                 dmixed ? dmixed + key_head * keys : NULL, dq);
    unit_tangent(keys, step->k, 1.0f, step->k_inverse,
                 dmixed ? dmixed + (s->key_heads + key_head) * keys : NULL, dk);
    const float *dv = dmixed ? dmixed + 2 * s->key_heads * keys + head * width : NULL;
    float dlevel = tangent_of(n->decay->tangent, gate) + tangent_of(n->decay_bias->tangent, head);
    float dlog = step->slope * dlevel + step->log_fade * tangent_of(n->rate->tangent, head);
    float dlearn = step->learn * (1 - step->learn) * tangent_of(n->beta->tangent, gate);
    for (int64_t i = 0; i < keys * width; i++) {
        dstate[i] = step->fade * (dstate[i] + dlog * state[i]);
        state[i] *= step->fade;
    }
    for (int64_t j = 0; j < width; j++) {
        float missing = step->v[j], dmissing = tangent_of(dv, j);
        for (int64_t i = 0; i < keys; i++) {
            missing -= step->k[i] * state[i * width + j];
            dmissing -= dk[i] * state[i * width + j] + step->k[i] * dstate[i * width + j];
        }
        float learned = step->learn * missing, sum = 0;
        float dlearned = step->learn * dmissing + dlearn * missing;
        for (int64_t i = 0; i < keys; i++) {
            dstate[i * width + j] += dk[i] * learned + step->k[i] * dlearned;
            state[i * width + j] += step->k[i] * learned;
            sum += dq[i] * state[i * width + j] + step->q[i] * dstate[i * width + j];
        }
        out[j] = sum;
    }
}

static void delta_tangent(struct tape *tape, const struct delta_node *n, struct tensor *out)
{
    const struct delta_shape *s = &n->shape;
    size_t bytes = (size_t)(2 * s->key_width * s->value_width) * sizeof(float);
    float *state = tape_take(tape, bytes);
    struct delta_step step;
    for (int64_t i = 0; state && i < s->batch * s->value_heads; i++) {
        int64_t b = i / s->value_heads, head = i % s->value_heads;
        struct delta_inputs in = inputs_of(n, b);
        for (int64_t t = 0; t < s->length; t++) {
            if (begins(s, b, t))
                memset(state, 0, bytes);
            read_step(s, &in, t, head, &step);
            token_tangent(n, b, head, t, &step, state, state + s->key_width * s->value_width,
                          out->tangent +
                              ((b * s->length + t) * s->value_heads + head) * s->value_width);
        }
    }
    tape_give(tape, state, bytes);
}

struct tensor *op_delta(struct tape *tape, const struct delta_shape *shape, struct tensor *mixed,
                        struct tensor *beta, struct tensor *decay, struct tensor *rate,
                        struct tensor *decay_bias)
{
    if (!mixed || !beta || !decay)
        return NULL;
    int64_t out_shape[] = {shape->batch, shape->length, shape->value_heads * shape->value_width};
    struct tensor *out = tape_tensor(tape, 3, out_shape);
    struct delta_node plain = {.shape = *shape,
                               .mixed = mixed,
                               .beta = beta,
                               .decay = decay,
                               .rate = rate,
                               .decay_bias = decay_bias};
    const struct tensor *const inputs[] = {mixed, beta, decay, rate, decay_bias};
    bool records = tape_records(tape, inputs, 5);
    int64_t chunks = (shape->length + DELTA_KEEP - 1) / DELTA_KEEP;
    size_t bytes = (size_t)(shape->batch * chunks * delta_state_values(shape)) * sizeof(float);
    if (records && !(plain.kept = tape_alloc(tape, bytes)))
        return NULL;
    if (!out)
        return NULL;
    struct delta_job job = {.tape = tape, .n = &plain, .out = out->data};
    thread_pool_for(tape->compute->pool, shape->batch * shape->value_heads, 1, forward_heads, &job);
    if (tape_carries(tape, inputs, 5) && tape_tangent(tape, out))
        delta_tangent(tape, &plain, out);
    if (records) {
        struct delta_node *n = tape_push(tape, sizeof *n, out, delta_back);
        if (!n)
            return NULL;
        plain.node = n->node;
        *n = plain;
    }
    return out;
}
