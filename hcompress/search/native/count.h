/* Counting a word's bits in plain C. */
#ifndef HCOMPRESS_COUNT_H
#define HCOMPRESS_COUNT_H

#include "kernels.h"

/* The shift-and-add count: what a compiler without a popcount instruction falls back to is a
 * call and a table, which is slower. */
UNROLLED unsigned count_by_shifts(uint64_t bits)
{
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return (unsigned)(bits * 0x0101010101010101u >> 56);
}

#if defined(__GNUC__)
UNROLLED unsigned count_by_instruction(uint64_t bits)
{
    return (unsigned)__builtin_popcountll(bits);
}
#endif

#if defined(__GNUC__) && !defined(__x86_64__)
#define COUNT count_by_instruction
#else
#define COUNT count_by_shifts
#endif

#endif
