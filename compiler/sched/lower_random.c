/* Random numbers as expressions: Philox 4x32-10 (Salmon et al., SC 2011), as op/philox.h defines it for the evaluator.
 */
#include "lower.h"

static uint32_t random_param(Lower *l) {
  for (uint32_t i = 0; i < l->out->args.n; i++)
    if (l->out->args.at[i].kind == ARG_RANDOM) return i;
  Sym four = sym_int(l->all->ctx->syms, 4);
  return lower_scratch(l, "rng", DT_U32, &four, 1, ARG_RANDOM, 0);
}

/* The four words of a block. */
static void philox(Lower *l, Id v, Ex block, Ex c[4]) {
  Kernel *k = l->k;
  uint32_t rng = random_param(l);
  int lanes = ex_at(k, block)->lanes;
  Ex word[3], m0 = ex_int(k, DT_U32, 0xD2511F53), m1 = ex_int(k, DT_U32, 0xCD9E8D57);
  for (int i = 0; i < 3; i++) {
    Ex at = ex_idx(k, i);
    word[i] = ex_load(k, rng, &at, 1, 0, 0);
    if (lanes > 1 && i < 2)
      word[i] = ex_splat(k, word[i], lanes); /* or the keys of all rounds would be made before a
                                                loop, and 20 vectors wait in it */
  }
  c[0] = ex_convert(k, DT_U32, block);
  c[1] = ex_int(k, DT_U32, hash_fnv32(graph_attr_str(l->g, v, "key")));
  c[2] = ex_int(k, DT_U32, 0);
  c[3] = word[2];
  for (int r = 0; r < 10; r++) {
    Ex key[2] = {word[0], word[1]};
    for (int i = 0; r && i < 2; i++)
      key[i] = ex_add(k, word[i], ex_int(k, DT_U32, (uint32_t)r * (i ? 0xBB67AE85 : 0x9E3779B9)));
    Ex hi0 = ex_op2(k, OP_MULHI, c[0], m0), lo0 = ex_mul(k, c[0], m0);
    Ex hi1 = ex_op2(k, OP_MULHI, c[2], m1), lo1 = ex_mul(k, c[2], m1);
    c[0] = loop_let(k, "c", ex_op2(k, OP_XOR, ex_op2(k, OP_XOR, hi1, c[1]), key[0]));
    c[2] = loop_let(k, "c", ex_op2(k, OP_XOR, ex_op2(k, OP_XOR, hi0, c[3]), key[1]));
    c[1] = lo1;
    c[3] = lo0;
  }
  for (int i = 1; i < 4; i += 2) c[i] = loop_let(k, "c", c[i]);
}

static Ex number(Lower *l, DType d, Ex word) {
  Kernel *k = l->k;
  if (d != DT_F32) return ex_convert(k, d, ex_op2(k, OP_SHR, word, ex_int(k, DT_U32, 1)));
  return ex_mul(k, ex_convert(k, d, ex_op2(k, OP_SHR, word, ex_int(k, DT_U32, 8))), ex_float(k, d, 0x1p-24));
}

Ex lower_random(Lower *l, Id v, Ex element) {
  Kernel *k = l->k;
  DType d = graph_dtype(l->g, v);
  Ex c[4], per = ex_idx(k, d == DT_F64 ? 2 : 4), place = ex_op2(k, OP_FLOOR_MOD, element, per);
  philox(l, v, ex_op2(k, OP_FLOOR_DIV, element, per), c);
  Ex second = ex_op2(k, OP_EQUAL, place, ex_idx(k, 1));
  if (d == DT_F64) { /* 53 bits of two words */
    Ex hi = ex_op3(k, OP_SELECT, second, c[2], c[0]), lo = ex_op3(k, OP_SELECT, second, c[3], c[1]);
    Ex top = ex_convert(k, DT_F64, ex_op2(k, OP_SHR, hi, ex_int(k, DT_U32, 5)));
    Ex low = ex_convert(k, DT_F64, ex_op2(k, OP_SHR, lo, ex_int(k, DT_U32, 6)));
    return ex_mul(k, ex_add(k, ex_mul(k, top, ex_float(k, DT_F64, 67108864.0)), low), ex_float(k, DT_F64, 0x1p-53));
  }
  Ex word = ex_op3(k, OP_SELECT, second, c[1], c[0]);
  for (int i = 2; i < 4; i++) word = ex_op3(k, OP_SELECT, ex_op2(k, OP_EQUAL, place, ex_idx(k, i)), c[i], word);
  return number(l, d, word);
}

bool lower_random_short(const Lower *l, Id v) {
  return graph_op(l->g, v) == OP_RANDOM && graph_dtype(l->g, v) != DT_F64;
}

void lower_random_run(Lower *l, Id v, Ex first, int lanes, Ex out[4]) {
  Kernel *k = l->k;
  Ex c[4], half[4], lane = ex_lane(k, lanes), two = ex_idx(k, 2), four = ex_idx(k, 4);
  philox(l, v, ex_add(k, ex_op2(k, OP_FLOOR_DIV, first, four), lane), c);
  /* element 4 b + w is word w of block b: words 0, 1 and words 2, 3 are dealt out in turn, then pairs of both */
  Ex deal =
      ex_add(k, ex_op2(k, OP_FLOOR_DIV, lane, two), ex_mul(k, ex_op2(k, OP_FLOOR_MOD, lane, two), ex_idx(k, lanes)));
  for (int i = 0; i < 4; i++)
    half[i] = loop_let(
        k, "h", ex_op3(k, OP_PERM2, c[i / 2 * 2], c[i / 2 * 2 + 1], ex_add(k, deal, ex_idx(k, i % 2 * lanes / 2))));
  Ex pairs = ex_add(k, ex_mul(k, ex_op2(k, OP_FLOOR_DIV, lane, four), two), ex_op2(k, OP_FLOOR_MOD, lane, two));
  Ex side = ex_op2(k, OP_FLOOR_MOD, ex_op2(k, OP_FLOOR_DIV, lane, two), two);
  pairs = ex_add(k, pairs, ex_mul(k, side, ex_idx(k, lanes)));
  for (int i = 0; i < 4; i++) {
    Ex at = ex_add(k, pairs, ex_idx(k, i % 2 * (lanes > 2 ? lanes / 2 : lanes))); /* two lanes: one half alone */
    out[i] = loop_let(k, "u", number(l, graph_dtype(l->g, v), ex_op3(k, OP_PERM2, half[i / 2], half[2 + i / 2], at)));
  }
}
