/* See random.h. */
#include "base/random.h"

#include <math.h>

static void philox_round(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    uint64_t product0 = (uint64_t)0xD2511F53u * counter[0];
    uint64_t product1 = (uint64_t)0xCD9E8D57u * counter[2];
    uint32_t next0 = (uint32_t)(product1 >> 32) ^ counter[1] ^ key0;
    uint32_t next2 = (uint32_t)(product0 >> 32) ^ counter[3] ^ key1;
    counter[0] = next0;
    counter[1] = (uint32_t)product1;
    counter[2] = next2;
    counter[3] = (uint32_t)product0;
}

/* The counter holds block (40 bits), purpose (24 bits), step and stream; the key is the seed. */
void random_block(struct random_address address, uint64_t block, uint32_t words[4])
{
    uint32_t key0 = (uint32_t)address.seed, key1 = (uint32_t)(address.seed >> 32);
    words[0] = (uint32_t)block;
    words[1] = (uint32_t)(block >> 32 & 0xff) | address.purpose << 8;
    words[2] = address.step;
    words[3] = address.stream;
    for (int round = 0; round < 10; round++) {
        philox_round(words, key0, key1);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

uint32_t random_word(struct random_address address, uint64_t element)
{
    uint32_t words[4];
    random_block(address, element / 4, words);
    return words[element % 4];
}

static double to_uniform(uint32_t word)
{
    return (word + 0.5) * 0x1p-32;
}

double random_uniform(struct random_address address, uint64_t element)
{
    return to_uniform(random_word(address, element));
}

double random_gumbel(struct random_address address, uint64_t element)
{
    return -log(-log(random_uniform(address, element)));
}

uint64_t random_below(struct random_address address, uint64_t element, uint64_t bound)
{
    uint32_t words[4];
    random_block(address, element / 2, words);
    const uint32_t *pair = words + 2 * (element % 2);
    uint64_t wide = (uint64_t)pair[0] << 32 | pair[1];
    return (uint64_t)((unsigned __int128)wide * bound >> 64);
}

static void normal_pair(uint32_t word0, uint32_t word1, double out[2])
{
    double radius = sqrt(-2.0 * log(to_uniform(word0)));
    double angle = 6.283185307179586476925 * to_uniform(word1);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

double random_normal(struct random_address address, uint64_t element)
{
    uint32_t words[4];
    double pair[2];
    random_block(address, element / 4, words);
    const uint32_t *two = words + (element % 4 & 2u);
    normal_pair(two[0], two[1], pair);
    return pair[element % 2];
}

void random_fill_normal(struct random_address address, uint64_t first, int64_t count, float scale,
                        float *out)
{
    int64_t done = 0;
    while (done < count) {
        uint64_t element = first + (uint64_t)done;
        uint32_t words[4];
        double values[4];
        random_block(address, element / 4, words);
        normal_pair(words[0], words[1], values);
        normal_pair(words[2], words[3], values + 2);
        for (uint64_t i = element % 4; i < 4 && done < count; i++)
            out[done++] = (float)(values[i] * scale);
    }
}

uint64_t random_shuffle(struct random_address address, uint64_t index, uint64_t count)
{
    int half = 1;
    while (half < 32 && (uint64_t)1 << (2 * half) < count)
        half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = index >> half, right = index & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint32_t words[4];
            random_block(address, round << 32 | right, words);
            uint64_t mixed = (left ^ words[0]) & mask;
            left = right;
            right = mixed;
        }
        index = left << half | right;
    } while (index >= count);
    return index;
}
