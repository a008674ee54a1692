# Steps that store updates are marked: launches and copies.
kernel k(N in 1..=64; in x: f32[N], out y: f32[N]) {
  stage main(i < N) { y[i] = x[i] + 1.0 }
}
plan p(N in 1..=64; inout c: f32[N], inout d: f32[N]) {
  buf t: f32[N] at 0
  launch k.main(N; x = c, y = t)
  barrier
  launch k.main(N; x = c, y = d) commit
  copy c <- t commit
}
---
kernel k(N in 1..=64; in x: f32[N], out y: f32[N]) {
  stage main(i < N) {
    y[i] = x[i] + 1.0
  }
}

plan p(N in 1..=64; inout c: f32[N], inout d: f32[N]) {
  buf t: f32[N] at 0
  launch k.main(N; x = c, y = t)
  barrier
  launch k.main(N; x = c, y = d) commit
  copy c <- t commit
}
