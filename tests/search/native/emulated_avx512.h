/* The AVX-512 intrinsics that avx512.c uses, in plain C, each as Intel's guide defines it: so
 * that a machine without AVX-512 can test everything but the instructions themselves. */
#ifndef HCOMPRESS_EMULATED_AVX512_H
#define HCOMPRESS_EMULATED_AVX512_H

#include <stdint.h>
#include <string.h>

typedef struct {
    uint32_t lanes[16];
} __m512i;

static inline __m512i _mm512_set1_epi32(int value)
{
    __m512i made;
    for (int i = 0; i < 16; i++)
        made.lanes[i] = (uint32_t)value;
    return made;
}

static inline __m512i _mm512_setzero_si512(void)
{
    return _mm512_set1_epi32(0);
}

static inline __m512i _mm512_loadu_si512(const void *from)
{
    __m512i made;
    memcpy(&made, from, sizeof made);
    return made;
}

static inline void _mm512_storeu_si512(void *to, __m512i a)
{
    memcpy(to, &a, sizeof a);
}

#define LANEWISE(name, expression)                       \
    static inline __m512i name(__m512i a, __m512i b)     \
    {                                                    \
        for (int i = 0; i < 16; i++) {                   \
            uint32_t x = a.lanes[i], y = b.lanes[i];     \
            a.lanes[i] = expression;                     \
        }                                                \
        return a;                                        \
    }
LANEWISE(_mm512_xor_si512, x ^ y)
LANEWISE(_mm512_or_si512, x | y)
LANEWISE(_mm512_add_epi32, x + y)

static inline __m512i _mm512_slli_epi32(__m512i a, unsigned places)
{
    for (int i = 0; i < 16; i++)
        a.lanes[i] = places > 31 ? 0 : a.lanes[i] << places;
    return a;
}

static inline __m512i _mm512_popcnt_epi32(__m512i a)
{
    for (int i = 0; i < 16; i++) {
        uint32_t ones = 0;
        for (uint32_t bits = a.lanes[i]; bits; bits >>= 1)
            ones += bits & 1;
        a.lanes[i] = ones;
    }
    return a;
}

#endif
