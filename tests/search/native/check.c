/* The search against a naive one, on every instruction set the machine has, with buffers of
 * exactly their size: built with sanitizers, it also shows that nothing outside them is touched. */
#include "search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252u;

static uint64_t random_bits(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void *room(size_t bytes)
{
    void *made = malloc(bytes);
    if (!made)
        exit(2);
    return made;
}

/* What the codes are like: random; few different ones; all the same; zeros and ones by turns;
 * falling distances to a query of zeros, so that every code is a better one than those before. */
enum { RANDOM, FEW, EQUAL, EXTREMES, FALLING, KINDS };

static void fill(uint8_t *codes, size_t count, size_t width, int kind)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < width; j++) {
            uint8_t random = (uint8_t)(random_bits() >> 32);
            uint8_t values[KINDS] = {random, j ? 0x5A : random & 3, 0xC3,
                                     i % 2 ? 0xFF : 0, j < (count - i) % (width + 1) ? 0xFF : 0};
            codes[i * width + j] = values[kind];
        }
}

static int distance(const uint8_t *a, const uint8_t *b, size_t width)
{
    int apart = 0;
    for (size_t i = 0; i < width; i++)
        for (unsigned bits = a[i] ^ b[i]; bits; bits >>= 1)
            apart += (int)(bits & 1);
    return apart;
}

/* One query's answer, by looking for the best that is left, `kept` times. */
static int right(const uint8_t *codes, size_t count, size_t width, const uint8_t *query,
                 const Request *request, size_t q, double temperature)
{
    int *apart = room(count * sizeof *apart), nearest = (int)(8 * width), good = 1;
    double total = 0;
    for (size_t id = 0; id < count; id++) {
        apart[id] = distance(codes + id * width, query, width);
        nearest = apart[id] < nearest ? apart[id] : nearest;
    }
    for (size_t id = 0; id < count; id++)
        total += exp((nearest - apart[id]) / temperature);
    for (size_t rank = 0; rank < request->kept && good; rank++) {
        size_t best = 0, at = q * request->kept + rank;
        for (size_t id = 1; id < count; id++)
            best = apart[id] < apart[best] ? id : best;
        double chance = exp((nearest - apart[best]) / temperature) / total;
        good = request->ids[at] == (int64_t)best + 2 && request->distances[at] == apart[best] &&
               fabs((double)request->probabilities[at] - chance) < 1e-6;
        apart[best] = (int)(8 * width) + 1;
    }
    free(apart);
    return good;
}

static int check(const InstructionSet *set, size_t count, size_t width, size_t asked, size_t kept,
                 int kind, double temperature)
{
    uint8_t *codes = room(count * width), *queries = room(asked * width);
    uint8_t *blocks = room(layout_bytes(set, count, width));
    double *weights = room((8 * width + 1) * sizeof *weights);
    int64_t *ids = room(asked * kept * sizeof *ids);
    int32_t *distances = room(asked * kept * sizeof *distances);
    float *chances = room(asked * kept * sizeof *chances);
    int good = 1;
    fill(codes, count, width, kind);
    fill(queries, asked, width, RANDOM);
    memcpy(queries, codes, width);
    if (asked > 1)
        memset(queries + width, 0, width);
    for (size_t x = 0; x <= 8 * width; x++)
        weights[x] = exp(-(double)x / temperature);
    lay_out(set, codes, count, width, blocks);
    Codebook codebook = {set, blocks, count, width, 2};
    Request request = {queries, asked, kept, ids, distances, chances, weights,
                       (unsigned)(temperature * 30)};
    if (search(&codebook, &request) < 0)
        exit(2);
    for (size_t q = 0; q < asked && good; q++)
        good = right(codes, count, width, queries + q * width, &request, q, temperature);
    if (!good)
        printf("%s: wrong: V %zu, bytes %zu, N %zu, k %zu, kind %d\n", set->name, count, width,
               asked, kept, kind);
    free(codes), free(queries), free(blocks), free(weights), free(ids), free(distances);
    free(chances);
    return good;
}

static int check_packing(const InstructionSet *set)
{
    float logits[8 * 37];
    uint8_t packed[37];
    int good = 1;
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++) {
        const float kinds[] = {0.0f, -0.0f, 1e-45f, -1e-45f, NAN, -NAN, INFINITY, -INFINITY};
        logits[i] = kinds[random_bits() % 8];
    }
    set->pack_signs(logits, sizeof packed, packed);
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++)
        good &= (packed[i / 8] >> i % 8 & 1) == (logits[i] >= 0);
    if (!good)
        printf("%s: wrong signs\n", set->name);
    return good;
}

int main(void)
{
    const size_t counts[] = {1, 2, 127, 128, 129, 300}, widths[] = {1, 3, 4, 29, 30, 31, 64, 256};
    const size_t askeds[] = {1, 2, 3, 33}, keeps[] = {1, 5, 64, 65, 300};
    int good = 1;
    for (const InstructionSet *const *set = instruction_sets; *set; set++) {
        if (!(*set)->present())
            continue;
        printf("%s\n", (*set)->name);
        good &= check_packing(*set);
        /* Every seventh of all combinations: each two of the five choices meet. */
        for (unsigned i = 0; i < 6 * 8 * 4 * 5 * KINDS; i += 7) {
            size_t count = counts[i % 6], kept = keeps[i / 192 % 5];
            if (kept <= count)
                good &= check(*set, count, widths[i / 6 % 8], askeds[i / 48 % 4], kept,
                              (int)(i / 960), 0.25 * (double)(1 + random_bits() % 100));
        }
    }
    return !good;
}
