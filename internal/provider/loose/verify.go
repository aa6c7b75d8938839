package loose

import (
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/web"
)

// Refused are the checks of a question about the account that was not answered as it should be.
func Refused(a *web.Answer, said Value) []provider.Check {
	table := []web.Rule{
		{Status: []string{"401", "402", "403", "407"}, Class: provider.Account, What: "the provider refuses the credentials or the account"},
		{Status: []string{"404", "405", "410", "3"}, Class: provider.Account, What: "the provider's address knows no such call: check baseUrl"},
		{Status: []string{"429"}, Class: provider.RateLimited, What: "the provider asks to come more slowly; try again later"},
	}
	if said.Here() && (a.OK() || a.Status/100 == 4) {
		table = append(table, web.Rule{Class: provider.Account, What: "the provider refuses the account"})
	}
	table = append(table, web.Rule{Class: provider.Transient, What: "the provider's answer cannot be read: check baseUrl"})
	return web.Refused("login", web.Judge(table, a, said.Get("code").Text(), said.Get("message", "error").Words()))
}

// Balance are the checks of an account whose credentials work: accepted says so. Without
// any balance above 0 messages would be refused. What is no amount is left out.
func Balance(accepted string, balances ...Value) []provider.Check {
	out := []provider.Check{{Name: "login", OK: true, Detail: accepted}}
	some, most := false, 0.0
	for _, b := range balances {
		if amount, ok := amount(b.Text()); ok {
			some, most = true, max(most, amount)
		}
	}
	switch {
	case some && most > 0:
		out = append(out, provider.Check{Name: "balance", OK: true, Detail: "the balance is " + strconv.FormatFloat(most, 'f', -1, 64)})
	case some:
		out = append(out, provider.Check{Name: "balance", Detail: "the balance is used up: messages would be refused"})
	}
	return out
}

// amount reads "4000", "1,234.50" and "GHS 12.5".
func amount(text string) (float64, bool) {
	text = strings.ReplaceAll(text, ",", "")
	text = strings.TrimSpace(strings.TrimFunc(text, func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '₵' || r == ' ' }))
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && n < 1e15 && n > -1e15
}
