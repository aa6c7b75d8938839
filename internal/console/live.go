package console

import (
	"html/template"
	"net/url"
)

// paused says whether the page does not update by itself, because its reader stopped it. What answers a form goes by the page that it stood on.
func (v *visit) paused() bool { return v.shown().Query().Get("live") == "off" }

// liveLink is this page updating by itself where it does not, and the other way round.
func (v *visit) liveLink() template.URL {
	u := v.shown()
	q := u.Query()
	if v.paused() {
		q.Del("live")
	} else {
		q.Set("live", "off")
	}
	u.RawQuery = q.Encode()
	return template.URL(u.RequestURI()) //nolint:gosec // a path of this console, and a query that Encode escapes
}

// shown is the page that the reader sees, or saw before the form was sent.
func (v *visit) shown() *url.URL {
	u, err := url.Parse(v.here())
	if err != nil {
		return &url.URL{Path: Root}
	}
	return u
}
