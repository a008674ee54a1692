/* The scores of a tile of OTHER keys, as the accumulators of two rows hold them; included by each skeleton of attention
 * behind its holes. */
DEVICE void ATTENTION_HOLE(_score_tile)(ATTENTION_HOLE(_args) args, i32 outer, float *s, const i32 *row,
                                        const i32 *seen, i32 key0, i32 whole, i32 S) {
  i32 first = key0 + ((int)threadIdx.x & 3) * 2;
#ifdef ATTENTION_SCORE
  if (key0 + OTHER <= S) {
    UNROLL (i, OTHER / 2) s[i] = ATTENTION_HOLE(_score)(args, outer, row[i / 2 & 1], first + i / 4 * 8 + (i & 1), s[i]);
  } else { /* the last tile, one by one: with every key's place held back registers would not suffice */
    ROLLED for (int at = 0; at < OTHER / 2; at++) {
      i32 key = first + at / 4 * 8 + (at & 1);
      float x = 0;
      UNROLL (i, OTHER / 2)
        if (i == at) x = s[i];
      x = ATTENTION_HOLE(_score)(args, outer, at & 2 ? row[1] : row[0], key < S ? key : S - 1, x);
      UNROLL (i, OTHER / 2)
        if (i == at) s[i] = x;
    }
  }
#else
  (void)args, (void)outer, (void)row, (void)S;
#endif
  if (key0 + OTHER <= whole) return;
  UNROLL (i, OTHER / 2)
    if (first + i / 4 * 8 + (i & 1) >= seen[i / 2 & 1]) s[i] = -INFINITE;
}
