# Start values are set by a plan of their own.
param w: f32[3, 4] = ones([3, 4])
state n: i64[] = 7
entry f(x: f32[4]) -> f32[3] { sum(w * x, 1) }
---
plan f(; in x0: f32[4], out o0: f32[3], in c0: f32[3, 4]) {
  launch f_0_row.main(; x1 = x0, p2 = c0, y5 = o0)
}

plan sinter_init(; inout c0: f32[3, 4], inout c1: i64[]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
  launch sinter_init_1_elementwise.main(; y3 = c1) serial commit
}
