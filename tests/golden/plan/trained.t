# A parameter that the entry updates is packed anew, in the arena of the call.
use loss
param w: f32[10, 20] = ones([10, 20])
entry f(x: f32[B, 20], y: i64[B]) -> f32[] where B <= 64 train {
  l = loss.cross_entropy(x @ w.T, y)
  w <- w - 0.1 * grad(l, w)
  l
}
---
plan f(B in 1..=64; in x0: f32[B, 20], in x1: i64[B], out o0: f32[], inout c0: f32[10, 20]) {
  buf t5: f32[B, 10] at 0
  buf s0_0: f32[20, 16] panel(1, 16) align 64 at 64 * ((40 * B + 63) // 64)
  buf t32: f32[B, 10] at 64 * ((40 * B + 63) // 64)
  buf t16: f32[B, 1] at 128 * ((40 * B + 63) // 64)
  launch f_0_gemm.pack(B; panels = s0_0, p4 = c0)
  barrier
  launch f_0_gemm.main(B; panels = s0_0, x1 = x0, y5 = t5)
  barrier
  launch f_1_row.main(B; v5 = t5, x2 = x1, y32 = t32, y16 = t16)
  barrier
  launch f_2_reduce.main(B; v16 = t16, y20 = o0)
  launch f_3_gemm.main(B; x1 = x0, v32 = t32, p4 = c0, y36 = c0) commit
}

plan sinter_init(; inout c0: f32[10, 20]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
}
