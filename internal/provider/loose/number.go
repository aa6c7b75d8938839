package loose

import (
	"strings"

	"github.com/commserver/commserver/internal/provider"
)

// significant is how many digits at the end of two numbers are compared: those of a
// number in Ghana without its country code or its 0, both of which providers write.
const significant = 9

// SameNumber says that two spellings are of one number.
func SameNumber(a, b string) bool {
	a, b = digits(a), digits(b)
	return len(a) >= significant && len(b) >= significant && a[len(a)-significant:] == b[len(b)-significant:]
}

// digits are those of a number without what is written between them.
func digits(number string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, number)
}

// Home begins the numbers that providers in Ghana know best.
const Home = "233"

// AtHome bounds what a provider in Ghana can say of a number: one abroad that it calls invalid may just be out of
// its reach, so that the refusal is the provider's own, another one may take the message, and nobody is suppressed.
func AtHome(e *provider.Error, to string) *provider.Error {
	if e.Class == provider.PermanentMessage && !strings.HasPrefix(strings.TrimPrefix(to, "+"), Home) {
		e.Class, e.HardBounce = provider.PermanentHere, false
	}
	return e
}
