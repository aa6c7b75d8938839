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

// OtherSite says that the browser followed a link of another site, or of another host of the same one (Fetch Metadata, W3C). A
// person who types an address, or a program, says nothing of the kind.
func OtherSite(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}
