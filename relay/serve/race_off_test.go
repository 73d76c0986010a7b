//go:build !race

package serve_test

// slowness is how many times longer things take than they should.
const slowness = 1
