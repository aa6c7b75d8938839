package intake

import (
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/comm"
)

// refuse makes the error for one wrong field.
func refuse(code, field, why string) *comm.Error { return comm.E(code).Field(field, why) }

func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func count(n int) string { return strconv.Itoa(n) }

// control is the place of the first C0 control character or DEL that is not allowed, -1 when there is none.
func control(s, allowed string) int {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c == 0x7f) && strings.IndexByte(allowed, c) < 0 {
			return i
		}
	}
	return -1
}

// printable says whether s is printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func templateKey(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxTemplateKey
}
