package config

import (
	"fmt"
	"strconv"
	"strings"
)

// bytes sets a number of bytes: a whole number with KiB, MiB or GiB, or none of them.
func bytes(field func(*Config) *int64, low, high int64) setter {
	return func(c *Config, v string) error {
		digits, unit := v, int64(1)
		for name, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
			if rest, ok := strings.CutSuffix(v, name); ok {
				digits, unit = strings.TrimSpace(rest), size
			}
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > high/unit || n*unit < low {
			return fmt.Errorf("%q is not accepted; write a size from %d MiB to %d MiB, such as 128MiB", v, low>>20, high>>20)
		}
		*field(c) = n * unit
		return nil
	}
}
