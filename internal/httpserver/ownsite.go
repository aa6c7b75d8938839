package httpserver

import (
	"net/http"
	"strings"
)

// OwnSite refuses requests that a page of another site makes with a browser's cookies. publicURL is where browsers find this server.
func OwnSite(publicURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if scheme, rest, found := strings.Cut(publicURL, "://"); found { // behind a proxy the request may name another host than the browser
		host, _, _ := strings.Cut(rest, "/")
		_ = p.AddTrustedOrigin(scheme + "://" + host) // one that is no origin trusts nobody
	}
	return p
}
