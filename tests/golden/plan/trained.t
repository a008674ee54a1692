# A parameter that the entry updates is packed anew, in the arena of the call.
use loss
param w: f32[10, 20] = ones([10, 20])
entry f(x: f32[B, 20], y: i64[B]) -> f32[] where B <= 64 train {
  l = loss.cross_entropy(x @ w.T, y)
  w <- w - 0.1 * grad(l, w)
  l
}
---
plan f(B in 1..=64; inout c0: f32[10, 20], in x0: f32[B, 20], in x1: i64[B], out o0: f32[]) {
  buf s0_0: f32[20, 16] panel(1, 16) align 64 at 0
  buf t5: f32[B, 10] at 1280
  buf t22: f32[] at 0
  buf t26: f32[B, 10] at 64 * ((40 * B + 63) // 64) + 1280
  buf t32: f32[B, 10] at 128 * ((40 * B + 63) // 64) + 1280
  buf t16: f32[B, 1] at 0
  launch f_0_gemm.pack(B; panels = s0_0, p4 = c0)
  barrier
  launch f_0_gemm.main(B; panels = s0_0, x1 = x0, y5 = t5)
  barrier
  launch f_1_elementwise.main(B; y22 = t22) serial
  launch f_2_nest.copy(B; y26 = t26)
  barrier
  launch f_2_nest.add(B; y26 = t26, x2 = x1, v22 = t22) serial
  barrier
  launch f_3_row.main(B; v5 = t5, v26 = t26, x2 = x1, y32 = t32, y16 = t16)
  barrier
  launch f_4_reduce.main(B; v16 = t16, y20 = o0)
  launch f_5_gemm.main(B; x1 = x0, v32 = t32, p4 = c0, y36 = c0) commit
}

plan init(; inout c0: f32[10, 20]) {
  launch init_0_elementwise.main(; y2 = c0) commit
}
