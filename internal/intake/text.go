package intake

import (
	"strconv"

	"github.com/commserver/commserver/internal/comm"
)

// refuse makes the error for one wrong field.
func refuse(code, field, why string) *comm.Error { return comm.E(code).Field(field, why) }

func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func count(n int) string { return strconv.Itoa(n) }

// printable says whether s is printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
