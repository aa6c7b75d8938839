//go:build !planted

package plant

// Possible says whether this binary can have planted bugs.
const Possible = false

// Active says whether the bug is planted in this run.
func Active(Bug) bool { return false }
