//go:build planted

package plant

import "os"

// Possible says whether this binary can have planted bugs.
const Possible = true

// Active says whether the bug is planted in this run.
func Active(b Bug) bool { return os.Getenv("PLANTED_BUG") == string(b) }
