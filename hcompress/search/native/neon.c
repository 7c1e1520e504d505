/* NEON (every 64-bit ARM): bits are counted by the byte, sixteen codes at a time. */
#include "kernels.h"

#ifdef HCOMPRESS_NEON
#include <arm_neon.h>
#include <string.h>

enum {
    LANES = 16,
    VECTORS = BLOCK / LANES,
    CHUNK = 31,               /* bytes of a code whose distances (8 a byte) add up in a byte */
};

static int always(void)
{
    return 1;
}

static size_t query_bytes(size_t queries, size_t width)
{
    return queries * width;
}

static void copy(const uint8_t *queries, size_t count, size_t width, uint8_t *prepared)
{
    memcpy(prepared, queries, count * width);
}

UNROLLED void settle(uint8x16_t sums, uint16_t *out, int first)
{
    uint16x8_t low = vmovl_u8(vget_low_u8(sums)), high = vmovl_u8(vget_high_u8(sums));
    vst1q_u16(out, first ? low : vaddq_u16(low, vld1q_u16(out)));
    vst1q_u16(out + 8, first ? high : vaddq_u16(high, vld1q_u16(out + 8)));
}

/* Two queries' sums fill half of the 32 registers; each vector of codes is loaded once. */
UNROLLED void count(int queries, const uint8_t *bytes, size_t part, const uint8_t *prepared,
                    size_t width, uint16_t *out, size_t stride, int first)
{
    uint8x16_t sums[2][VECTORS];
    for (int q = 0; q < queries; q++)
        for (int v = 0; v < VECTORS; v++)
            sums[q][v] = vdupq_n_u8(0);
    for (size_t i = 0; i < part; i++)
        for (int v = 0; v < VECTORS; v++) {
            uint8x16_t codes = vld1q_u8(bytes + i * BLOCK + (size_t)v * LANES);
            for (int q = 0; q < queries; q++) {
                uint8x16_t wanted = vld1q_dup_u8(prepared + (size_t)q * width + i);
                sums[q][v] = vaddq_u8(sums[q][v], vcntq_u8(veorq_u8(codes, wanted)));
            }
        }
    for (int q = 0; q < queries; q++)
        for (int v = 0; v < VECTORS; v++)
            settle(sums[q][v], out + (size_t)q * stride + v * LANES, first);
}

static void distances_neon(const uint8_t *block, size_t width, const uint8_t *prepared,
                           size_t queries, uint16_t *out, size_t stride)
{
    for (size_t start = 0; start < width; start += CHUNK) {
        size_t part = width - start < CHUNK ? width - start : CHUNK, q = 0;
        const uint8_t *bytes = block + start * BLOCK, *from = prepared + start;
        for (; q + 2 <= queries; q += 2)
            count(2, bytes, part, from + q * width, width, out + q * stride, stride, start == 0);
        if (q < queries)
            count(1, bytes, part, from + q * width, width, out + q * stride, stride, start == 0);
    }
}

static unsigned lowest_neon(const uint16_t *distances)
{
    uint16x8_t lowest = vld1q_u16(distances);
    for (size_t i = 8; i < BLOCK; i += 8)
        lowest = vminq_u16(lowest, vld1q_u16(distances + i));
    return vminvq_u16(lowest);
}

const InstructionSet neon = {
    "neon", always, 1, slot_in_order, query_bytes, copy,
    distances_neon, lowest_neon, below_portable, pack_signs_portable,
    read_portable, arithmetic_portable,
};
#endif
