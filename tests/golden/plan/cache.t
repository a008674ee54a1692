# An update of an inout at a place known at run time: the kernel checks the place, stores in place, and is a commit.
entry f(inout k: f32[2, 3, T], v: f32[2, 3, 1], at: i64[]) where T <= 50 { k[:, :, at:at + 1] <- v }
---
plan f(T in 1..=50; inout x0: f32[2, 3, T], in x1: f32[2, 3, 1], in x2: i64[]) {
  launch f_0_nest.update(T; y4 = x0, x3 = x2, x2 = x1) commit
}
