# Not fused: the product needs the one and feeds the other, so one kernel of both would wait for itself.
entry f(x: f32[N, 8], w: f32[8, 8]) -> f32[N, 8] {
  y = exp(x)
  y + y @ w
}
---
entry f
  kernel k0: elementwise over [N, 8]
    computes exp (between.t:3:7)
    stores f32[N, 8] exp (between.t:3:7)
  kernel k1: gemm over [N, 8]
    computes dot_general (between.t:4:7), add (between.t:4:3)
    stores f32[N, 8] add (between.t:4:3)
    not fused with exp (between.t:3:7), which dot_general reads: an operand of a product is read many times: it is stored once
    not fused with exp (between.t:3:7), which add reads: a kernel between them needs the one and feeds the other
    fused with dot_general (between.t:4:7), which add reads: read where it is made: one loop nest
