/* Values: every op of the Loop IR with the meaning of ops.def's `defined` column, loads and stores by their class. */
#include "llvm_gen.h"
#include "scalar.h"
#include <math.h>
#include <string.h>

/* ---- types and small pieces ---- */
static LLVMTypeRef element_type(Gen *g, DType d) {
  switch (d) {
  case DT_F32: return g->t_f32;
  case DT_F64: return g->t_f64;
  case DT_BOOL: return g->t_i1;
  case DT_I8:
  case DT_U8: return g->t_i8;
  case DT_F16:
  case DT_BF16:
  case DT_I16:
  case DT_U16: return g->t_i16;
  case DT_I32:
  case DT_U32: return g->t_i32;
  default: return g->t_i64;
  }
}
static LLVMTypeRef vector_of(LLVMTypeRef t, int lanes) { return lanes > 1 ? LLVMVectorType(t, (unsigned)lanes) : t; }
LLVMTypeRef gen_type(Gen *g, DType d, int lanes) { return vector_of(element_type(g, d), lanes); }
LLVMTypeRef gen_memory_type(Gen *g, DType d, int lanes) {
  return vector_of(d == DT_BOOL ? g->t_i8 : element_type(g, d), lanes);
}
static int lanes_in(LLVMValueRef v) {
  LLVMTypeRef t = LLVMTypeOf(v);
  return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 1;
}

LLVMValueRef gen_call(Gen *g, const char *name, LLVMTypeRef *types, int nt, LLVMValueRef *args, int na) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  if (!id) BUG("LLVM has no %s", name);
  LLVMValueRef f = LLVMGetIntrinsicDeclaration(g->mod, id, types, (size_t)nt);
  return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->cx, id, types, (size_t)nt), f, args, (unsigned)na, "");
}
static LLVMValueRef call1(Gen *g, const char *name, LLVMValueRef *args, int na) {
  LLVMTypeRef t = LLVMTypeOf(args[0]);
  return gen_call(g, name, &t, 1, args, na);
}

LLVMValueRef gen_int_vector(LLVMTypeRef t, const int64_t *v, int n) {
  LLVMValueRef e[512];
  for (int i = 0; i < n; i++) e[i] = LLVMConstInt(t, (uint64_t)v[i], 1);
  return LLVMConstVector(e, (unsigned)n);
}
LLVMValueRef gen_iota(Gen *g, LLVMTypeRef t, int lanes) {
  int64_t v[512];
  (void)g;
  for (int i = 0; i < lanes; i++) v[i] = i;
  return gen_int_vector(t, v, lanes);
}
LLVMValueRef gen_splat(Gen *g, LLVMValueRef v, int lanes) {
  if (lanes == 1) return v;
  if (LLVMIsConstant(v)) {
    LLVMValueRef e[512];
    for (int i = 0; i < lanes; i++) e[i] = v;
    return LLVMConstVector(e, (unsigned)lanes);
  }
  LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(v), (unsigned)lanes);
  LLVMValueRef x = LLVMBuildInsertElement(g->b, LLVMGetPoison(t), v, LLVMConstInt(g->t_i32, 0, 0), "");
  return LLVMBuildShuffleVector(g->b, x, LLVMGetPoison(t), LLVMConstNull(LLVMVectorType(g->t_i32, (unsigned)lanes)),
                                "");
}
static LLVMValueRef lane(Gen *g, LLVMValueRef v, int i) {
  return LLVMBuildExtractElement(g->b, v, LLVMConstInt(g->t_i32, (uint64_t)i, 0), "");
}
static LLVMValueRef shuffle(Gen *g, LLVMValueRef a, LLVMValueRef b, const int64_t *at, int n) {
  return LLVMBuildShuffleVector(g->b, a, b, gen_int_vector(g->t_i32, at, n), "");
}
LLVMValueRef gen_and(Gen *g, LLVMValueRef a, LLVMValueRef b) { return !a ? b : !b ? a : LLVMBuildAnd(g->b, a, b, ""); }

LLVMValueRef gen_any(Gen *g, LLVMValueRef m) {
  int n = lanes_in(m);
  if (n == 1) return m;
  LLVMTypeRef t = LLVMIntTypeInContext(g->cx, (unsigned)n);
  return LLVMBuildICmp(g->b, LLVMIntNE, LLVMBuildBitCast(g->b, m, t, ""), LLVMConstNull(t), "");
}
static LLVMValueRef all_of(Gen *g, LLVMValueRef m) {
  int n = lanes_in(m);
  LLVMTypeRef t = LLVMIntTypeInContext(g->cx, (unsigned)n);
  return LLVMBuildICmp(g->b, LLVMIntEQ, LLVMBuildBitCast(g->b, m, t, ""), LLVMConstAllOnes(t), "");
}

static bool is_int_type(DType d) { return dtype_is_int(d) || d == DT_BOOL; }

/* ---- arithmetic ---- */
/* Whether v is a float literal, not NaN, in all lanes. */
static bool float_literal(LLVMValueRef v, double *x) {
  LLVMBool lost;
  if (!LLVMIsConstant(v)) return false;
  if (lanes_in(v) > 1) v = LLVMGetAggregateElement(v, 0); /* only splats of literals come here */
  if (!v || !LLVMIsAConstantFP(v)) return false;
  *x = LLVMConstRealGetDouble(v, &lost);
  return !isnan(*x);
}

static bool on_arm(const Gen *g) { return !strcmp(g->target->arch, "aarch64"); }

/* For AArch64 LLVM takes a select that reads as the minimum or maximum of floats, one of them never NaN, for fminnm or
 * fmaxnm, which order the zeros: `a < 0 ? a : 0` would be -0 for -0. A freeze hides that a value is that of the
 * compare.
 */
static LLVMValueRef choose(Gen *g, LLVMValueRef cond, LLVMValueRef yes, LLVMValueRef no) {
  LLVMTypeRef t = lanes_in(yes) > 1 ? LLVMGetElementType(LLVMTypeOf(yes)) : LLVMTypeOf(yes);
  if (on_arm(g) && (t == g->t_f32 || t == g->t_f64)) {
    if (!LLVMIsConstant(yes))
      yes = LLVMBuildFreeze(g->b, yes, "");
    else if (!LLVMIsConstant(no))
      no = LLVMBuildFreeze(g->b, no, "");
  }
  return LLVMBuildSelect(g->b, cond, yes, no, "");
}

static bool op_divides(Op op) { return op == OP_DIV || op == OP_REM || op == OP_FLOOR_DIV || op == OP_FLOOR_MOD; }

/* a > b or a is NaN ? a : b (max); one instruction where a literal decides about NaN and the order of zeros: la and lb
 * are a and b before const_operand. */
static LLVMValueRef extreme(Gen *g, bool max, LLVMValueRef a, LLVMValueRef b, DType d, LLVMValueRef la,
                            LLVMValueRef lb) {
  if (is_int_type(d)) {
    LLVMIntPredicate p = dtype_is_signed(d) ? (max ? LLVMIntSGT : LLVMIntSLT) : (max ? LLVMIntUGT : LLVMIntULT);
    return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, p, a, b, ""), a, b, "");
  }
  LLVMRealPredicate p = max ? LLVMRealOGT : LLVMRealOLT;
  double x = 0, y = 0;
  bool from_a = float_literal(la, &x) && x != 0, given = float_literal(lb, &y), from_b = given && y != 0;
  if (on_arm(g) && (from_a || from_b || (given && !signbit(y) == max)))
    return call1(g, max ? "llvm.maximum" : "llvm.minimum", (LLVMValueRef[]){a, b},
                 2); /* fmax: NaN wins, 0 is above -0 */
  if (from_b) return choose(g, LLVMBuildFCmp(g->b, p, b, a, ""), b, a);
  LLVMValueRef m = choose(g, LLVMBuildFCmp(g->b, p, a, b, ""), a, b);
  if (from_a) return m;
  return choose(g, LLVMBuildFCmp(g->b, LLVMRealUNO, a, a, ""), a, m);
}

static LLVMValueRef divide(Gen *g, Op op, LLVMValueRef a, LLVMValueRef b, DType d) {
  LLVMTypeRef t = LLVMTypeOf(a);
  LLVMValueRef zero = LLVMConstNull(t), none = LLVMBuildICmp(g->b, LLVMIntEQ, b, zero, ""), bad = none;
  LLVMValueRef one = gen_splat(g, LLVMConstInt(element_type(g, d), 1, 0), lanes_in(a));
  bool sgn = dtype_is_signed(d);
  if (sgn) {
    LLVMValueRef least =
        gen_splat(g, LLVMConstInt(element_type(g, d), 1ull << (8 * dtype_size(d) - 1), 0), lanes_in(a));
    LLVMValueRef wraps = LLVMBuildAnd(g->b, LLVMBuildICmp(g->b, LLVMIntEQ, a, least, ""),
                                      LLVMBuildICmp(g->b, LLVMIntEQ, b, LLVMConstAllOnes(t), ""), "");
    bad = LLVMBuildOr(g->b, bad, wraps, "");
  }
  LLVMValueRef y = LLVMBuildSelect(g->b, bad, one, b, "");
  LLVMValueRef r = sgn ? LLVMBuildSRem(g->b, a, y, "") : LLVMBuildURem(g->b, a, y, ""), q = NULL;
  if (op == OP_DIV || op == OP_FLOOR_DIV) q = sgn ? LLVMBuildSDiv(g->b, a, y, "") : LLVMBuildUDiv(g->b, a, y, "");
  if ((op == OP_FLOOR_DIV || op == OP_FLOOR_MOD) && sgn) {
    LLVMValueRef off = LLVMBuildAnd(g->b, LLVMBuildICmp(g->b, LLVMIntNE, r, zero, ""),
                                    LLVMBuildICmp(g->b, LLVMIntSLT, LLVMBuildXor(g->b, r, y, ""), zero, ""), "");
    if (q)
      q = LLVMBuildSelect(g->b, off, LLVMBuildSub(g->b, q, one, ""), q, "");
    else
      r = LLVMBuildSelect(g->b, off, LLVMBuildAdd(g->b, r, y, ""), r, "");
  }
  return q ? LLVMBuildSelect(g->b, none, zero, q, "") : r;
}

static LLVMValueRef shift(Gen *g, Op op, LLVMValueRef a, LLVMValueRef n, DType d) {
  int lanes = lanes_in(a), bits = 8 * (int)dtype_size(d);
  LLVMTypeRef e = element_type(g, d);
  LLVMValueRef beyond =
      LLVMBuildICmp(g->b, LLVMIntUGT, n, gen_splat(g, LLVMConstInt(e, (uint64_t)bits - 1, 0), lanes), "");
  if (op == OP_SHL) {
    LLVMValueRef s = LLVMBuildShl(g->b, a, LLVMBuildSelect(g->b, beyond, LLVMConstNull(LLVMTypeOf(a)), n, ""), "");
    return LLVMBuildSelect(g->b, beyond, LLVMConstNull(LLVMTypeOf(a)), s, "");
  }
  LLVMValueRef s = LLVMBuildSelect(g->b, beyond, gen_splat(g, LLVMConstInt(e, (uint64_t)bits - 1, 0), lanes), n, "");
  if (dtype_is_signed(d)) return LLVMBuildAShr(g->b, a, s, "");
  return LLVMBuildSelect(g->b, beyond, LLVMConstNull(LLVMTypeOf(a)), LLVMBuildLShr(g->b, a, s, ""), "");
}

/* fmod, exact: the dividend's multiples of the divisor are taken off bit by bit. One cold function a type and module.
 */
static LLVMValueRef float_rem(Gen *g, LLVMValueRef a, LLVMValueRef b, DType d) {
  bool wide = d == DT_F64;
  const char *name = wide ? "sinter_rem_f64" : "sinter_rem_f32";
  LLVMTypeRef ft = wide ? g->t_f64 : g->t_f32, it = wide ? g->t_i64 : g->t_i32, in[] = {ft, ft},
              fnt = LLVMFunctionType(ft, in, 2, 0);
  LLVMValueRef f = LLVMGetNamedFunction(g->mod, name);
  if (!f) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
    f = LLVMAddFunction(g->mod, name, fnt);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    unsigned man = wide ? 52 : 23;
    uint64_t top = wide ? 0x7FFull : 0xFFull, sign = 1ull << (wide ? 63 : 31);
    LLVMBuilderRef B = g->b;
#define BLOCK(n) LLVMAppendBasicBlockInContext(g->cx, f, n)
#define INT(c)   LLVMConstInt(it, (c), 0)
    LLVMBasicBlockRef start = BLOCK("start"), plain = BLOCK("plain"), step = BLOCK("step"), done = BLOCK("done"),
                      odd = BLOCK("odd");
    LLVMPositionBuilderAtEnd(B, start);
    LLVMValueRef x = LLVMGetParam(f, 0), y = LLVMGetParam(f, 1), xb = LLVMBuildBitCast(B, x, it, ""),
                 yb = LLVMBuildBitCast(B, y, it, "");
    LLVMValueRef s = LLVMBuildAnd(B, xb, INT(sign), ""), xa = LLVMBuildAnd(B, xb, INT(sign - 1), ""),
                 ya = LLVMBuildAnd(B, yb, INT(sign - 1), "");
    LLVMValueRef inf = INT(top << man);
    LLVMValueRef special = LLVMBuildOr(
        B, LLVMBuildOr(B, LLVMBuildICmp(B, LLVMIntUGE, xa, inf, ""), LLVMBuildICmp(B, LLVMIntUGT, ya, inf, ""), ""),
        LLVMBuildICmp(B, LLVMIntEQ, ya, INT(0), ""), "");
    LLVMBuildCondBr(B, special, odd, plain);
    LLVMPositionBuilderAtEnd(B, odd); /* inf rem y, x rem 0, NaN */
    LLVMValueRef z = LLVMBuildFMul(B, x, y, "");
    LLVMBuildRet(B, LLVMBuildFDiv(B, z, z, ""));
    LLVMPositionBuilderAtEnd(B, plain);
    LLVMValueRef m[2], e[2], abs[] = {xa, ya};
    for (int i = 0; i < 2; i++) { /* mantissa and exponent; a denormal has exponent 1 and no hidden bit */
      LLVMValueRef ex = LLVMBuildLShr(B, abs[i], INT(man), ""),
                   fr = LLVMBuildAnd(B, abs[i], INT((1ull << man) - 1), "");
      LLVMValueRef normal = LLVMBuildICmp(B, LLVMIntNE, ex, INT(0), "");
      m[i] = LLVMBuildSelect(B, normal, LLVMBuildOr(B, fr, INT(1ull << man), ""), fr, "");
      e[i] = LLVMBuildSelect(B, normal, ex, INT(1), "");
    }
    LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntULT, xa, ya, ""), done, step);
    LLVMPositionBuilderAtEnd(B, step); /* r := x's mantissa mod y's, then doubled for each step down to y's exponent */
    LLVMValueRef r = LLVMBuildPhi(B, it, ""), k = LLVMBuildPhi(B, it, "");
    LLVMValueRef m1 = LLVMBuildURem(B, r, m[1], ""), last = LLVMBuildICmp(B, LLVMIntEQ, k, e[1], "");
    LLVMValueRef next = LLVMBuildShl(B, m1, INT(1), ""), kn = LLVMBuildSub(B, k, INT(1), "");
    LLVMBasicBlockRef pack = BLOCK("pack");
    LLVMBuildCondBr(B, last, pack, step);
    LLVMValueRef rv[] = {m[0], next}, kv[] = {e[0], kn};
    LLVMBasicBlockRef from[] = {plain, step};
    LLVMAddIncoming(r, rv, from, 2);
    LLVMAddIncoming(k, kv, from, 2);
    LLVMPositionBuilderAtEnd(B, pack); /* m1 * 2^(e - bias - man): normalise without rounding */
    LLVMValueRef ctz[] = {m1, LLVMConstInt(g->t_i1, 0, 0)};
    LLVMValueRef lead = gen_call(g, "llvm.ctlz", &it, 1, ctz, 2), up = LLVMBuildSub(B, lead, INT(wide ? 11 : 8), "");
    LLVMValueRef room = LLVMBuildSub(B, e[1], INT(1), ""), fits = LLVMBuildICmp(B, LLVMIntULE, up, room, "");
    LLVMValueRef by = LLVMBuildSelect(B, fits, up, room, ""), sh = LLVMBuildShl(B, m1, by, "");
    LLVMValueRef ne = LLVMBuildSelect(B, fits, LLVMBuildSub(B, e[1], by, ""), INT(0), "");
    LLVMValueRef bits =
        LLVMBuildOr(B, LLVMBuildShl(B, ne, INT(man), ""), LLVMBuildAnd(B, sh, INT((1ull << man) - 1), ""), "");
    LLVMValueRef empty = LLVMBuildICmp(B, LLVMIntEQ, m1, INT(0), "");
    bits = LLVMBuildOr(B, LLVMBuildSelect(B, empty, INT(0), bits, ""), s, "");
    LLVMBuildRet(B, LLVMBuildBitCast(B, bits, ft, ""));
    LLVMPositionBuilderAtEnd(B, done);
    LLVMBuildRet(B, x);
#undef BLOCK
#undef INT
    LLVMPositionBuilderAtEnd(B, here);
  }
  int n = lanes_in(a);
  LLVMValueRef r = LLVMGetPoison(LLVMTypeOf(a));
  for (int i = 0; i < n; i++) {
    LLVMValueRef args[] = {n > 1 ? lane(g, a, i) : a, n > 1 ? lane(g, b, i) : b},
                 v = LLVMBuildCall2(g->b, fnt, f, args, 2, "");
    r = n > 1 ? LLVMBuildInsertElement(g->b, r, v, LLVMConstInt(g->t_i32, (uint64_t)i, 0), "") : v;
  }
  return r;
}

/* ---- 16-bit floats: bits in memory, f32 in registers; expand_math leaves what an instruction does ---- */
static bool has_f16(const Gen *g) { return g->target->needs & (CPU_F16C | CPU_NEON); }

static LLVMValueRef to_f32(Gen *g, LLVMValueRef v, DType from) {
  if (from == DT_F16 && !has_f16(g)) BUG("%s: a conversion of f16 reached the emitter", g->k->name);
  int n = lanes_in(v);
  LLVMTypeRef t = vector_of(g->t_f32, n), w = vector_of(g->t_i32, n);
  if (from == DT_F16)
    return LLVMBuildFPExt(g->b, LLVMBuildBitCast(g->b, v, vector_of(LLVMHalfTypeInContext(g->cx), n), ""), t, "");
  v = LLVMBuildShl(g->b, LLVMBuildZExt(g->b, v, w, ""), gen_splat(g, LLVMConstInt(g->t_i32, 16, 0), n), "");
  return LLVMBuildBitCast(g->b, v, t, "");
}

/* One bf16 in all lanes, as f32: it is spread over twice as many, of which the upper of each pair stay. */
static LLVMValueRef spread_bf16(Gen *g, LLVMValueRef v, int n) {
  LLVMTypeRef w = vector_of(g->t_i32, n);
  v = LLVMBuildBitCast(g->b, gen_splat(g, v, 2 * n), w, "");
  v = LLVMBuildShl(g->b, v, gen_splat(g, LLVMConstInt(g->t_i32, 16, 0), n), "");
  return LLVMBuildBitCast(g->b, v, vector_of(g->t_f32, n), "");
}

static LLVMValueRef to_f16(Gen *g, LLVMValueRef v) {
  int n = lanes_in(v);
  v = LLVMBuildFPTrunc(g->b, v, vector_of(LLVMHalfTypeInContext(g->cx), n), "");
  return LLVMBuildBitCast(g->b, v, vector_of(g->t_i16, n), "");
}

static LLVMValueRef convert(Gen *g, LLVMValueRef v, DType from, DType to) {
  int n = lanes_in(v);
  LLVMTypeRef t = gen_type(g, to, n);
  if (from == to) return v;
  if (dtype_is_half(from)) return convert(g, to_f32(g, v, from), DT_F32, to);
  if (dtype_is_half(to)) {
    if (to == DT_BF16 || !has_f16(g)) BUG("%s: a conversion to %s reached the emitter", g->k->name, dtype_name(to));
    return to_f16(g, convert(g, v, from, DT_F32));
  }
  bool ff = dtype_is_float(from), tf = dtype_is_float(to);
  if (to == DT_BOOL) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(v));
    return ff ? LLVMBuildFCmp(g->b, LLVMRealUNE, v, zero, "") : LLVMBuildICmp(g->b, LLVMIntNE, v, zero, "");
  }
  if (ff && tf) return to == DT_F64 ? LLVMBuildFPExt(g->b, v, t, "") : LLVMBuildFPTrunc(g->b, v, t, "");
  if (ff) {
    LLVMTypeRef types[] = {t, LLVMTypeOf(v)};
    return gen_call(g, dtype_is_signed(to) ? "llvm.fptosi.sat" : "llvm.fptoui.sat", types, 2, &v, 1);
  }
  bool sgn = dtype_is_signed(from);
  if (tf) return sgn ? LLVMBuildSIToFP(g->b, v, t, "") : LLVMBuildUIToFP(g->b, v, t, "");
  size_t a = from == DT_BOOL ? 0 : dtype_size(from), b = dtype_size(to);
  if (a > b) return LLVMBuildTrunc(g->b, v, t, "");
  if (a == b) return v;
  return sgn ? LLVMBuildSExt(g->b, v, t, "") : LLVMBuildZExt(g->b, v, t, "");
}

/* Halves folded on each other until one lane is left. Whether a lane is NaN is asked once, beside the chain. */
static LLVMValueRef fold(Gen *g, Op op, LLVMValueRef v, DType d) {
  LLVMValueRef all = v;
  bool extremum = op != OP_HADD && dtype_is_float(d);
  for (int n = lanes_in(v); n > 1; n /= 2) {
    int64_t at[256];
    for (int i = 0; i < n; i++) at[i] = i;
    LLVMValueRef p = LLVMGetPoison(LLVMTypeOf(v)), lo, hi;
    if (n == 2)
      lo = lane(g, v, 0), hi = lane(g, v, 1);
    else
      lo = shuffle(g, v, p, at, n / 2), hi = shuffle(g, v, p, at + n / 2, n / 2);
    if (op == OP_HADD)
      v = dtype_is_float(d) ? LLVMBuildFAdd(g->b, lo, hi, "") : LLVMBuildAdd(g->b, lo, hi, "");
    else if (extremum)
      v = choose(g, LLVMBuildFCmp(g->b, op == OP_HMAX ? LLVMRealOGT : LLVMRealOLT, lo, hi, ""), lo, hi);
    else
      v = extreme(g, op == OP_HMAX, lo, hi, d, lo, hi);
  }
  if (!extremum) return v;
  LLVMValueRef nan = LLVMBuildFCmp(g->b, LLVMRealUNO, all, all, "");
  return choose(g, gen_any(g, nan), LLVMConstReal(LLVMTypeOf(v), NAN), v);
}

/* Permutation by lanes that are not constant: a select for each source lane; one instruction where the level has it. */
static LLVMValueRef permute(Gen *g, LLVMValueRef a, LLVMValueRef b, Ex index, DType d) {
  Poly p = poly_ex(g, index);
  int n = ex_at(g->k, index)->lanes, m = lanes_in(a);
  LLVMValueRef at = poly_vector(g, &p, n);
  if (LLVMIsConstant(at)) {
    int64_t v[512];
    for (int i = 0; i < n; i++) v[i] = LLVMConstIntGetSExtValue(LLVMGetAggregateElement(at, (unsigned)i));
    for (int i = 0; i < n; i++)
      if (v[i] < 0 || v[i] >= (b ? 2 * m : m)) BUG("%s: perm of lane %lld", g->k->name, (long long)v[i]);
    return shuffle(g, a, b ? b : LLVMGetPoison(LLVMTypeOf(a)), v, n);
  }
  LLVMTypeRef ti = dtype_size(d) == 8 ? g->t_i64 : g->t_i32;
  LLVMValueRef i = ti == g->t_i64 ? at : poly_narrow(g, &p, DT_I32, n);
  if (n == m && !b && g->target->level == LEVEL_V4 && n == 16 && dtype_size(d) == 4) {
    LLVMValueRef args[] = {a, i};
    return gen_call(g, d == DT_F32 ? "llvm.x86.avx512.permvar.sf.512" : "llvm.x86.avx512.permvar.si.512", NULL, 0, args,
                    2);
  }
  if (n == m && !b && g->target->level == LEVEL_V3 && n == 8 && dtype_size(d) == 4) {
    LLVMValueRef args[] = {a, i};
    return gen_call(g, d == DT_F32 ? "llvm.x86.avx2.permps" : "llvm.x86.avx2.permd", NULL, 0, args, 2);
  }
  LLVMValueRef r = gen_splat(g, lane(g, a, 0), n);
  for (int s = 1; s < (b ? 2 * m : m); s++) {
    LLVMValueRef hit = LLVMBuildICmp(g->b, LLVMIntEQ, i, gen_splat(g, LLVMConstInt(ti, (uint64_t)s, 0), n), "");
    r = LLVMBuildSelect(g->b, hit, gen_splat(g, lane(g, s < m ? a : b, s % m), n), r, "");
  }
  return r;
}

/* acc + sums of four neighbouring products of u8 and i8. */
static LLVMValueRef dot4(Gen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b) {
  int n = lanes_in(acc), w = 4 * n;
  if (w > 512) BUG("dot4 of %d lanes", n);
  LLVMTypeRef t = vector_of(g->t_i32, w);
  LLVMValueRef p = LLVMBuildMul(g->b, LLVMBuildZExt(g->b, a, t, ""), LLVMBuildSExt(g->b, b, t, ""), ""),
               none = LLVMGetPoison(t);
  for (int j = 0; j < 4; j++) {
    int64_t at[128];
    for (int i = 0; i < n; i++) at[i] = 4 * i + j;
    acc = LLVMBuildAdd(g->b, acc, n > 1 ? shuffle(g, p, none, at, n) : lane(g, p, j), "");
  }
  return acc;
}

/* x * 2^n: an instruction of AVX-512 on whole registers. */
static LLVMValueRef scale(Gen *g, LLVMValueRef x, LLVMValueRef n, DType d) {
  int w = lanes_in(x), size = (int)dtype_size(d), bits = 8 * size * w, full = 16 / size;
  if (!g->target->has_scale) BUG("%s: scale on level %s: expand_math comes first", g->k->name, g->target->name);
  if (w == 1) return lane(g, scale(g, gen_splat(g, x, full), gen_splat(g, n, full), d), 0);
  int64_t at[256];
  LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(x));
  if (w < full || bits > 512) { /* the lanes once more, or in two halves */
    int part = w < full ? full : w / 2, times = w < full ? 1 : 2;
    LLVMValueRef y[2] = {0};
    for (int k = 0; k < times; k++) {
      for (int i = 0; i < part; i++) at[i] = (k * part + i) % w;
      y[k] = scale(g, shuffle(g, x, none, at, part), shuffle(g, n, none, at, part), d);
    }
    for (int i = 0; i < w; i++) at[i] = i;
    return shuffle(g, y[0], times > 1 ? y[1] : LLVMGetPoison(LLVMTypeOf(y[0])), at, w);
  }
  LLVMValueRef args[] = {x, n, x, LLVMConstAllOnes(LLVMIntTypeInContext(g->cx, w > 8 ? 16 : 8)),
                         LLVMConstInt(g->t_i32, 4, 0)}; /* 4: the current rounding */
  const char *name = arena_printf(g->arena, "llvm.x86.avx512.mask.scalef.p%c.%d", d == DT_F32 ? 's' : 'd', bits);
  return gen_call(g, name, NULL, 0, args, bits == 512 ? 5 : 4);
}

/* ---- memory ---- */
static void access_flags(Gen *g, LLVMValueRef v, uint32_t buf, bool load) {
  LLVMSetAlignment(v, (unsigned)dtype_size(g->k->bufs.at[buf].dtype));
  if (load && buf < (uint32_t)g->k->nparams && g->shared_in[buf]) LLVMSetMetadata(v, g->md_invariant, g->md_empty);
}

static LLVMValueRef from_memory(Gen *g, LLVMValueRef v, DType d) {
  return d == DT_BOOL ? LLVMBuildICmp(g->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

/* Lane i of an access, for classes that are no single vector. */
static LLVMValueRef lane_address(Gen *g, uint32_t buf, const Poly *o, const Poly *stride, bool affine, LLVMValueRef all,
                                 int i) {
  if (!affine) return lane(g, all, i);
  Poly base = poly_lane0(o, 1), k = poly_int(i), t = poly_mul(g, stride, &k);
  base = poly_add(g, &base, &t, 1);
  return gen_address(g, buf, &base);
}

static LLVMValueRef load(Gen *g, const Expr *e) {
  uint32_t buf = e->ref;
  DType d = (DType)e->dtype;
  int w = e->lanes;
  Ex index[LOOP_RANK];
  memcpy(index, g->k->arg.at + e->in, e->nin * sizeof *index);
  LLVMTypeRef mt = gen_memory_type(g, d, w), et = gen_memory_type(g, d, 1);
  LLVMValueRef mask = e->mask ? gen_value_lanes(g, e->mask, w) : NULL;
  LLVMValueRef other = e->other ? gen_value_lanes(g, e->other, w) : LLVMConstNull(gen_type(g, d, w));
  if (w > 1) mask = gen_and(g, mask, g->mask && lanes_in(g->mask) == w ? g->mask : NULL);
  if (mask && LLVMIsConstant(mask)) {
    if (LLVMIsNull(mask)) return other;
    if (mask == LLVMConstAllOnes(LLVMTypeOf(mask))) mask = NULL;
  }
  Poly o = gen_offset(g, buf, index, e->nin), stride;
  if (g->error) return LLVMGetPoison(gen_type(g, d, w));
  LLVMValueRef zero_place = NULL;
  if (mask) zero_place = g->zero;
  if (w == 1) {
    LLVMValueRef p = gen_address(g, buf, &o);
    if (mask) p = LLVMBuildSelect(g->b, mask, p, zero_place, "");
    LLVMValueRef v = LLVMBuildLoad2(g->b, et, p, "");
    access_flags(g, v, buf, true);
    v = from_memory(g, v, d);
    return mask ? LLVMBuildSelect(g->b, mask, v, other, "") : v;
  }
  int64_t step = 0;
  bool affine = poly_stride(&o, &stride), fixed = affine && poly_is_int(&stride, &step);
  if (fixed && step == 0) { /* one element in all lanes: read if any is active */
    LLVMValueRef p = gen_address(g, buf, &o);
    if (mask) p = LLVMBuildSelect(g->b, gen_any(g, mask), p, zero_place, "");
    LLVMValueRef v = LLVMBuildLoad2(g->b, et, p, "");
    access_flags(g, v, buf, true);
    v = gen_splat(g, from_memory(g, v, d), w);
    return mask ? LLVMBuildSelect(g->b, mask, v, other, "") : v;
  }
  if (fixed && step == 1) {
    LLVMValueRef p = gen_address(g, buf, &o), v;
    if (mask) {
      LLVMValueRef raw = d == DT_BOOL ? LLVMBuildZExt(g->b, other, mt, "") : other;
      LLVMValueRef args[] = {p, LLVMConstInt(g->t_i32, dtype_size(d), 0), mask, raw};
      LLVMTypeRef types[] = {mt, g->t_ptr};
      v = gen_call(g, "llvm.masked.load", types, 2, args, 4);
    } else {
      v = LLVMBuildLoad2(g->b, mt, p, "");
      access_flags(g, v, buf, true);
    }
    return from_memory(g, v, d);
  }
  bool whole = g->target->level == LEVEL_V4 && dtype_size(d) >= 4 && d != DT_BOOL;
  LLVMValueRef all = affine && !(whole && mask) ? NULL : gen_addresses(g, buf, &o, w);
  if (whole && all) {
    LLVMValueRef args[] = {all, LLVMConstInt(g->t_i32, dtype_size(d), 0),
                           mask ? mask : LLVMConstAllOnes(gen_type(g, DT_BOOL, w)), other};
    LLVMTypeRef types[] = {mt, LLVMTypeOf(all)};
    return gen_call(g, "llvm.masked.gather", types, 2, args, 4);
  }
  LLVMValueRef r = LLVMGetPoison(mt);
  for (int i = 0; i < w; i++) {
    LLVMValueRef p = lane_address(g, buf, &o, &stride, affine, all, i);
    if (mask) p = LLVMBuildSelect(g->b, lane(g, mask, i), p, zero_place, "");
    LLVMValueRef v = LLVMBuildLoad2(g->b, et, p, "");
    access_flags(g, v, buf, true);
    r = LLVMBuildInsertElement(g->b, r, v, LLVMConstInt(g->t_i32, (uint64_t)i, 0), "");
  }
  r = from_memory(g, r, d);
  return mask ? LLVMBuildSelect(g->b, mask, r, other, "") : r;
}

void gen_store(Gen *g, uint32_t buf, const Ex *index, int n, LLVMValueRef value, int w, LLVMValueRef mask) {
  DType d = g->k->bufs.at[buf].dtype;
  Poly o = gen_offset(g, buf, index, n), stride;
  if (g->error) return;
  if (d == DT_BOOL) value = LLVMBuildZExt(g->b, value, gen_memory_type(g, d, w), "");
  if (mask && LLVMIsConstant(mask)) {
    if (LLVMIsNull(mask)) return;
    if (mask == LLVMConstAllOnes(LLVMTypeOf(mask))) mask = NULL;
  }
  if (w == 1) {
    LLVMBasicBlockRef after = NULL;
    LLVMValueRef p = gen_address(g, buf, &o);
    if (mask) {
      LLVMBasicBlockRef then = gen_block(g, "store");
      after = gen_block(g, "stored");
      LLVMBuildCondBr(g->b, mask, then, after);
      LLVMPositionBuilderAtEnd(g->b, then);
    }
    access_flags(g, LLVMBuildStore(g->b, value, p), buf, false);
    if (after) {
      LLVMBuildBr(g->b, after);
      LLVMPositionBuilderAtEnd(g->b, after);
    }
    return;
  }
  int64_t step = 0;
  bool affine = poly_stride(&o, &stride), fixed = affine && poly_is_int(&stride, &step);
  LLVMValueRef align = LLVMConstInt(g->t_i32, dtype_size(d), 0);
  if (fixed && step == 1) {
    LLVMValueRef p = gen_address(g, buf, &o);
    if (mask) {
      LLVMValueRef args[] = {value, p, align, mask};
      LLVMTypeRef types[] = {LLVMTypeOf(value), g->t_ptr};
      gen_call(g, "llvm.masked.store", types, 2, args, 4);
    } else
      access_flags(g, LLVMBuildStore(g->b, value, p), buf, false);
    return;
  }
  if (mask) {
    LLVMValueRef all = gen_addresses(g, buf, &o, w), args[] = {value, all, align, mask};
    LLVMTypeRef types[] = {LLVMTypeOf(value), LLVMTypeOf(all)};
    gen_call(g, "llvm.masked.scatter", types, 2, args, 4);
    return;
  }
  LLVMValueRef all = affine ? NULL : gen_addresses(g, buf, &o, w);
  for (int i = 0; i < w; i++) {
    LLVMValueRef p = lane_address(g, buf, &o, &stride, affine, all, i);
    access_flags(g, LLVMBuildStore(g->b, lane(g, value, i), p), buf, false);
  }
}

/* ---- expressions ---- */
LLVMValueRef gen_value_lanes(Gen *g, Ex e, int lanes) {
  LLVMValueRef v = gen_value(g, e);
  return lanes > 1 && lanes_in(v) == 1 ? gen_splat(g, v, lanes) : v;
}

static LLVMValueRef literal(Gen *g, const Expr *e) {
  LLVMTypeRef t = element_type(g, (DType)e->dtype);
  DType d = (DType)e->dtype;
  uint16_t bits = 0;
  if (dtype_is_half(d)) scalar_store(d, (Scalar){.f = e->u.f}, &bits);
  LLVMValueRef v = dtype_is_half(d)    ? LLVMConstInt(t, bits, 0)
                   : dtype_is_float(d) ? LLVMConstReal(t, e->u.f)
                                       : LLVMConstInt(t, (uint64_t)e->u.i, 1);
  return gen_splat(g, v, e->lanes);
}

static LLVMValueRef compare(Gen *g, Op op, LLVMValueRef a, LLVMValueRef b, DType d) {
  static const LLVMRealPredicate real[] = {LLVMRealOEQ, LLVMRealUNE, LLVMRealOLT,
                                           LLVMRealOLE, LLVMRealOGT, LLVMRealOGE};
  static const LLVMIntPredicate sgn[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE};
  static const LLVMIntPredicate uns[] = {LLVMIntEQ, LLVMIntNE, LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE};
  int k = op == OP_EQUAL        ? 0
          : op == OP_NOT_EQUAL  ? 1
          : op == OP_LESS       ? 2
          : op == OP_LESS_EQUAL ? 3
          : op == OP_GREATER    ? 4
                                : 5;
  if (dtype_is_float(d)) return LLVMBuildFCmp(g->b, real[k], a, b, "");
  return LLVMBuildICmp(g->b, dtype_is_signed(d) ? sgn[k] : uns[k], a, b, "");
}

/* The operations on values; indices come here only where they are no polynomial. */
static LLVMValueRef operate(Gen *g, Ex id) {
  Expr e = *ex_at(g->k, id);
  Op op = (Op)e.op;
  DType d = (DType)e.dtype;
  int w = e.lanes;
  Ex in[3] = {0};
  LLVMValueRef v[3] = {0};
  LLVMBuilderRef b = g->b;
  if (op == OP_LITERAL) return literal(g, &e);
  if (op == OP_LOAD) return load(g, &e);
  if (op == OP_VAR) {
    Bind *x = g->var[e.ref];
    if (!x) BUG("%s: %s has no value", g->k->name, g->k->vars.at[e.ref].name);
    return x->index ? (w > 1 ? poly_vector(g, &x->p, w) : poly_scalar(g, &x->p)) : x->v;
  }
  if (op == OP_REG) {
    LoopReg *r = &g->k->regs.at[e.ref];
    int64_t at = 0, i;
    for (int k = 0; k < e.nin; k++) {
      Poly p = poly_ex(g, g->k->arg.at[e.in + (uint32_t)k]);
      if (!poly_is_int(&p, &i) || i < 0 || i >= r->dim[k]) BUG("%s: index of register %s", g->k->name, r->name);
      at = at * r->dim[k] + i;
    }
    return g->reg[g->reg_at[e.ref] + (uint32_t)at];
  }
  for (int i = 0; i < e.nin && i < 3; i++) in[i] = g->k->arg.at[e.in + (uint32_t)i];
  DType from = (DType)ex_at(g->k, in[0])->dtype;
  int iw = w; /* lanes of the operands */
  if (op == OP_HADD || op == OP_HMAX || op == OP_HMIN || op == OP_ANY || op == OP_ALL || op == OP_EXTRACT)
    iw = ex_at(g->k, in[0])->lanes;
  if (OP_INFO[op].cls == CLASS_COMPARE && from == DT_IDX) {
    Poly x = poly_ex(g, in[0]), y = poly_ex(g, in[1]);
    return poly_compare(g, op, &x, &y, w);
  }
  if (op == OP_CONVERT && from == DT_IDX) {
    Poly p = poly_ex(g, in[0]);
    int64_t lo, hi;
    poly_range(g, &p, &lo, &hi);
    if (dtype_is_float(d)) { /* through 32 bits where it fits: cheaper, and the same number */
      bool fits = lo >= INT32_MIN && hi <= INT32_MAX;
      return convert(g,
                     fits    ? poly_narrow(g, &p, DT_I32, w)
                     : w > 1 ? poly_vector(g, &p, w)
                             : poly_scalar(g, &p),
                     fits ? DT_I32 : DT_I64, d);
    }
    if (d == DT_BOOL) return convert(g, w > 1 ? poly_vector(g, &p, w) : poly_scalar(g, &p), DT_I64, d);
    return poly_narrow(g, &p, d, w);
  }
  if (op == OP_CONVERT && from == DT_BF16 && d == DT_F32 && w > 1 && ex_at(g->k, in[0])->op == OP_SPLAT)
    return spread_bf16(g, gen_value(g, g->k->arg.at[ex_at(g->k, in[0])->in]), w);
  if (op == OP_PERM || op == OP_PERM2) {
    int sw = ex_at(g->k, in[0])->lanes;
    v[0] = gen_value(g, in[0]);
    v[1] = op == OP_PERM2 ? gen_value_lanes(g, in[1], sw) : NULL;
    return permute(g, v[0], v[1], in[op == OP_PERM2 ? 2 : 1], d);
  }
  if (op == OP_EXTRACT) {
    Poly p = poly_ex(g, in[1]);
    int64_t k;
    if (!poly_is_int(&p, &k)) BUG("%s: extract of a lane that is not constant", g->k->name);
    return lane(g, gen_value(g, in[0]), (int)k);
  }
  if (op == OP_DOT4) {
    for (int i = 0; i < 3; i++) v[i] = gen_value(g, in[i]);
    return dot4(g, v[0], v[1], v[2]);
  }
  int order[3], n = loop_order(g->k, g->ex_need, &e, order);
  for (int i = 0; i < n; i++) v[order[i]] = gen_value_lanes(g, in[order[i]], iw);
  bool fl = dtype_is_float(from), immediate = op == OP_SHL || op == OP_SHR || op == OP_MULHI || (!fl && op_divides(op));
  LLVMValueRef given[2] = {v[0], v[1]};
  for (int i = 0; i < n && !immediate; i++) v[i] = const_operand(g, in[i], v[i]);
  switch (op) {
  case OP_SPLAT:
  case OP_LEAF:
  case OP_STOP_GRADIENT: return v[0];
  case OP_NEG: return fl ? LLVMBuildFNeg(b, v[0], "") : LLVMBuildNeg(b, v[0], "");
  case OP_ABS: {
    if (fl) return call1(g, "llvm.fabs", v, 1);
    if (!dtype_is_signed(d)) return v[0];
    LLVMValueRef args[] = {v[0], LLVMConstInt(g->t_i1, 0, 0)};
    return call1(g, "llvm.abs", args, 2);
  }
  case OP_SQRT: return call1(g, "llvm.sqrt", v, 1);
  case OP_FLOOR: return call1(g, "llvm.floor", v, 1);
  case OP_CEIL: return call1(g, "llvm.ceil", v, 1);
  case OP_ROUND: return call1(g, "llvm.roundeven", v, 1);
  case OP_TRUNC: return call1(g, "llvm.trunc", v, 1);
  case OP_NOT: return LLVMBuildNot(b, v[0], "");
  case OP_IS_NAN: return LLVMBuildFCmp(b, LLVMRealUNO, v[0], v[0], "");
  case OP_CONVERT: return convert(g, v[0], from, d);
  case OP_BITS:
    if (from == DT_BOOL || d == DT_BOOL) BUG("%s: bits of bool", g->k->name);
    return LLVMBuildBitCast(b, v[0], gen_type(g, d, w), "");
  case OP_ADD: return fl ? LLVMBuildFAdd(b, v[0], v[1], "") : LLVMBuildAdd(b, v[0], v[1], "");
  case OP_SUB: return fl ? LLVMBuildFSub(b, v[0], v[1], "") : LLVMBuildSub(b, v[0], v[1], "");
  case OP_MUL: return fl ? LLVMBuildFMul(b, v[0], v[1], "") : LLVMBuildMul(b, v[0], v[1], "");
  case OP_DIV: return fl ? LLVMBuildFDiv(b, v[0], v[1], "") : divide(g, op, v[0], v[1], d);
  case OP_REM: return fl ? float_rem(g, v[0], v[1], d) : divide(g, op, v[0], v[1], d);
  case OP_FLOOR_DIV:
  case OP_FLOOR_MOD: return divide(g, op, v[0], v[1], d);
  case OP_MAXIMUM:
  case OP_MINIMUM: return extreme(g, op == OP_MAXIMUM, v[0], v[1], d, given[0], given[1]);
  case OP_AND: return LLVMBuildAnd(b, v[0], v[1], "");
  case OP_OR: return LLVMBuildOr(b, v[0], v[1], "");
  case OP_XOR: return LLVMBuildXor(b, v[0], v[1], "");
  case OP_SHL:
  case OP_SHR: return shift(g, op, v[0], v[1], d);
  case OP_EQUAL:
  case OP_NOT_EQUAL:
  case OP_LESS:
  case OP_LESS_EQUAL:
  case OP_GREATER:
  case OP_GREATER_EQUAL: return compare(g, op, v[0], v[1], from);
  case OP_SELECT: return choose(g, v[0], v[1], v[2]);
  case OP_FMA:
    if (!g->target->has_fma) return LLVMBuildFAdd(b, LLVMBuildFMul(b, v[0], v[1], ""), v[2], "");
    return call1(g, "llvm.fma", v, 3);
  case OP_SCALE: return scale(g, v[0], v[1], d);
  case OP_MULHI: {
    LLVMTypeRef wide = vector_of(g->t_i64, w);
    LLVMValueRef p = LLVMBuildMul(b, LLVMBuildZExt(b, v[0], wide, ""), LLVMBuildZExt(b, v[1], wide, ""), "");
    return LLVMBuildTrunc(b, LLVMBuildLShr(b, p, gen_splat(g, LLVMConstInt(g->t_i64, 32, 0), w), ""), LLVMTypeOf(v[0]),
                          "");
  }
  case OP_HADD:
  case OP_HMAX:
  case OP_HMIN: return fold(g, op, v[0], d);
  case OP_ANY: return gen_any(g, v[0]);
  case OP_ALL: return iw > 1 ? all_of(g, v[0]) : v[0];
  case OP_LANE: return gen_iota(g, g->t_i64, w);
  case OP_LEN:
    gen_refuse(g, "kernel %s: lists of tensors come with a later order", g->k->name);
    return LLVMConstNull(g->t_i64);
  default: BUG("kernel %s: %s reached the emitter: expand_math comes first", g->k->name, OP_INFO[op].text);
  }
}

LLVMValueRef gen_value_raw(Gen *g, Ex e) {
  if (g->ex_stamp[e] == g->stamp) return g->ex_value[e];
  LLVMValueRef v = operate(g, e);
  g->ex_stamp[e] = g->stamp;
  g->ex_value[e] = v;
  return v;
}

LLVMValueRef gen_value(Gen *g, Ex e) {
  const Expr *x = ex_at(g->k, e);
  if (x->dtype != DT_IDX) return gen_value_raw(g, e);
  Poly p = poly_ex(g, e);
  return p.lanes > 1 || x->lanes > 1 ? poly_vector(g, &p, x->lanes) : poly_scalar(g, &p);
}
