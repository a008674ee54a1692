# On a GPU the tiles of a product sum their rows: a kernel less reads the product. What is made of the sum alone rides on.
# level: gpu
entry f(x: f32[B, 20], w: f32[20, 30], b: f32[30]) -> (f32[B, 30], f32[30], f32[]) {
  y = relu(x @ w)
  s = b - 0.1 * sum(y, 0)
  (y, s, sum(s))
}
---
entry f
  kernel k0: gemm over [B, 30]
    computes dot_general (column_sums.t:4:12), less_equal (column_sums.t:4:7), select (column_sums.t:4:7), reduce_sum (column_sums.t:5:17), mul (column_sums.t:5:11), sub (column_sums.t:5:7)
    stores f32[B, 30] select (column_sums.t:4:7), f32[30] sub (column_sums.t:5:7)
    fused with dot_general (column_sums.t:4:12), which less_equal reads: read where it is made: one loop nest
    fused with less_equal (column_sums.t:4:7), which select reads: read where it is made: one loop nest
    fused with select (column_sums.t:4:7), which reduce_sum reads: each tile of the product sums its rows, a second stage adds these up
    fused with reduce_sum (column_sums.t:5:17), which mul reads: read where the sum of rows is made: one loop nest
    fused with mul (column_sums.t:5:11), which sub reads: read where the sum of rows is made: one loop nest
  kernel k1: row over [30]
    computes reduce_sum (column_sums.t:6:10)
    stores f32[] reduce_sum (column_sums.t:6:10)
    not fused with sub (column_sums.t:5:7), which reduce_sum reads: a reduction does not ride on a product's tile
