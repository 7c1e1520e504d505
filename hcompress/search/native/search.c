/* The search itself: blocks of codes against tiles of queries, whatever the instruction set. */
#include "search.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* What a tile's prepared queries may take: they are read once a block, from the L2 cache. */
    TILE_BYTES = 64 * 1024,
    TILE = 32,
    /* Above this many candidates, sorting by counting is quicker than inserting one by one. */
    INSERTED = 64,
};

/* One query's answer so far. */
typedef struct {
    int64_t *ids;
    int32_t *distances;
    size_t found;
    unsigned bound;    /* only what is nearer than this can still be a candidate */
    unsigned nearest;
    double total;      /* of the weights, relative to the nearest code's */
} Ranking;

static size_t at_most(size_t value, size_t limit)
{
    return value < limit ? value : limit;
}

static size_t block_bytes(const InstructionSet *set, size_t width)
{
    return (width + set->unit - 1) / set->unit * set->unit * BLOCK;
}

static size_t block_count(size_t count)
{
    return (count + BLOCK - 1) / BLOCK;
}

size_t layout_bytes(const InstructionSet *set, size_t count, size_t width)
{
    return block_count(count) * block_bytes(set, width);
}

void lay_out(const InstructionSet *set, const uint8_t *codes, size_t count, size_t width,
             uint8_t *blocks)
{
    memset(blocks, 0, layout_bytes(set, count, width));
    for (size_t id = 0; id < count; id++, codes += width) {
        uint8_t *block = blocks + id / BLOCK * block_bytes(set, width);
        uint8_t *place = block + set->slot((unsigned)(id % BLOCK)) * set->unit;
        for (size_t start = 0; start < width; start += set->unit)
            memcpy(place + start * BLOCK, codes + start, at_most(set->unit, width - start));
    }
}

/* Codes come in the order of their ids, so one that is only as near as the last candidate is
 * never better, and one as near as others goes behind them. */
static void insert(Ranking *ranking, size_t kept, unsigned distance, int64_t id)
{
    size_t place = ranking->found < kept ? ranking->found++ : kept - 1;
    for (; place > 0 && ranking->distances[place - 1] > (int32_t)distance; place--) {
        ranking->distances[place] = ranking->distances[place - 1];
        ranking->ids[place] = ranking->ids[place - 1];
    }
    ranking->distances[place] = (int32_t)distance;
    ranking->ids[place] = id;
    if (ranking->found == kept)
        ranking->bound = (unsigned)ranking->distances[kept - 1];
}

static unsigned lowest_bit(uint64_t bits)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(bits);
#else
    unsigned place = 0;
    for (; !(bits & 1); bits >>= 1)
        place++;
    return place;
#endif
}

/* Rarely called: in random order the bound is crossed some kept * ln(V / kept) times in all. */
static void insert_block(const InstructionSet *set, Ranking *ranking, size_t kept,
                         const uint16_t *distances, int64_t first_id)
{
    uint64_t found[BLOCK / 64];
    set->below(distances, ranking->bound, found);
    for (size_t word = 0; word < BLOCK / 64; word++)
        for (; found[word]; found[word] &= found[word] - 1) {
            size_t place = word * 64 + lowest_bit(found[word]);
            /* Those before it in the block may have lowered the bound. */
            if (distances[place] < ranking->bound)
                insert(ranking, kept, distances[place], first_id + (int64_t)place);
        }
}

/* Adds a block's weights. The same additions in the same order for every instruction set, tile
 * and thread, so that a probability is the same bits everywhere. */
static void add_weights(Ranking *ranking, const Request *request, const uint16_t *distances,
                        size_t count, unsigned lowest)
{
    const double *weights = request->weights;
    unsigned nearest = ranking->nearest;
    double sums[8] = {0};
    size_t i = 0;
    if (lowest < nearest) {
        ranking->total *= weights[nearest - lowest];
        ranking->nearest = nearest = lowest;
    }
    if (lowest - nearest > request->window)
        return;
    for (; i + 8 <= count; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] += weights[distances[i + j] - nearest];
    for (; i < count; i++)
        sums[0] += weights[distances[i] - nearest];
    ranking->total += ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
                      ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/* All ids by distance, by counting how many there are of each. Stable: ties by id. */
static void sort_row(const uint16_t *row, const Codebook *codebook, size_t kept, size_t *places,
                     const Ranking *ranking)
{
    size_t count = codebook->count, furthest = 8 * codebook->width, before = 0, filled = 0;
    memset(places, 0, (furthest + 1) * sizeof *places);
    for (size_t id = 0; id < count; id++)
        places[row[id]]++;
    for (size_t distance = 0; distance <= furthest; distance++) {
        size_t equal = places[distance];
        places[distance] = before;
        before += equal;
    }
    for (size_t id = 0; id < count && filled < kept; id++) {
        size_t place = places[row[id]]++;
        if (place >= kept)
            continue;
        ranking->ids[place] = codebook->first_id + (int64_t)id;
        ranking->distances[place] = row[id];
        filled++;
    }
}

static void give_probabilities(const Ranking *ranking, const Request *request, float *to)
{
    for (size_t i = 0; i < request->kept; i++) {
        unsigned behind = (unsigned)ranking->distances[i] - ranking->nearest;
        to[i] = (float)(request->weights[behind] / ranking->total);
    }
}

/* Memory for one tile after another. */
typedef struct {
    uint8_t *prepared;
    uint16_t *distances;     /* [tile, stride]: a block's, or, if sorting, a whole row a query */
    size_t *places;
    size_t tile, stride;
    int sorting;
} Workspace;

static void search_tile(const Codebook *codebook, const Request *request, Workspace *space,
                        size_t start, size_t queries)
{
    const InstructionSet *set = codebook->set;
    size_t width = codebook->width, kept = request->kept;
    Ranking rankings[TILE];
    set->prepare(request->queries + start * width, queries, width, space->prepared);
    for (size_t q = 0; q < queries; q++) {
        rankings[q] = (Ranking){request->ids + (start + q) * kept,
                                request->distances + (start + q) * kept, 0,
                                space->sorting ? 0 : NONE, (unsigned)(8 * width), 0.0};
    }
    for (size_t first = 0; first < codebook->count; first += BLOCK) {
        size_t count = at_most(BLOCK, codebook->count - first);
        uint16_t *out = space->distances + (space->sorting ? first : 0);
        set->distances(codebook->blocks + first / BLOCK * block_bytes(set, width), width,
                       space->prepared, queries, out, space->stride);
        for (size_t q = 0; q < queries; q++, out += space->stride) {
            for (size_t i = count; i < BLOCK; i++)
                out[i] = NONE;
            unsigned lowest = set->lowest(out);
            if (lowest < rankings[q].bound)
                insert_block(set, &rankings[q], kept, out,
                             codebook->first_id + (int64_t)first);
            if (request->probabilities)
                add_weights(&rankings[q], request, out, count, lowest);
        }
    }
    for (size_t q = 0; q < queries; q++) {
        if (space->sorting)
            sort_row(space->distances + q * space->stride, codebook, kept, space->places,
                     &rankings[q]);
        if (request->probabilities)
            give_probabilities(&rankings[q], request,
                               request->probabilities + (start + q) * kept);
    }
}

int search(const Codebook *codebook, const Request *request)
{
    const InstructionSet *set = codebook->set;
    size_t width = codebook->width, two = set->prepared_bytes(2, width);
    Workspace space = {.sorting = request->kept > INSERTED};
    int status = -1;
    space.stride = space.sorting ? block_count(codebook->count) * BLOCK : BLOCK;
    space.tile = space.sorting ? 2 : at_most(TILE, 2 + TILE_BYTES / two * 2);
    space.tile = at_most(space.tile, request->count);
    space.prepared = malloc(set->prepared_bytes(space.tile, width) + 1);
    space.distances = malloc((space.tile * space.stride + 1) * sizeof *space.distances);
    space.places = space.sorting ? malloc((8 * width + 1) * sizeof(size_t)) : NULL;
    if (space.prepared && space.distances && (space.places || !space.sorting)) {
        for (size_t start = 0; start < request->count; start += space.tile)
            search_tile(codebook, request, &space, start,
                        at_most(space.tile, request->count - start));
        status = 0;
    }
    free(space.prepared);
    free(space.distances);
    free(space.places);
    return status;
}
