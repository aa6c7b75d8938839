package console

import (
	"fmt"
	"html/template"
)

// icons are drawn on 20 by 20 with a line of 1.6; each is what stands inside of its <svg>.
var icons = map[string]string{
	"overview":     `<path d="M3 11.5h3l2.2-6 3.6 9 2.2-6 1 3h2"/>`,
	"live":         `<circle cx="10" cy="10" r="1.6"/><path d="M6.4 13.6a5 5 0 0 1 0-7.2M13.6 6.4a5 5 0 0 1 0 7.2M4 16a8.5 8.5 0 0 1 0-12M16 4a8.5 8.5 0 0 1 0 12"/>`,
	"messages":     `<rect x="2.8" y="4.5" width="14.4" height="11" rx="2"/><path d="m3.4 6 6.6 5 6.6-5"/>`,
	"inbox":        `<path d="M3 11.5 5 4.8h10l2 6.7v3.7H3z"/><path d="M3 11.5h4c.3 1.6 1.4 2.4 3 2.4s2.7-.8 3-2.4h4"/>`,
	"queue":        `<path d="m10 3 7 3.5-7 3.5-7-3.5z"/><path d="m3 10 7 3.5 7-3.5M3 13.5 10 17l7-3.5"/>`,
	"apps":         `<rect x="3" y="3" width="5.8" height="5.8" rx="1.3"/><rect x="11.2" y="3" width="5.8" height="5.8" rx="1.3"/><rect x="3" y="11.2" width="5.8" height="5.8" rx="1.3"/><rect x="11.2" y="11.2" width="5.8" height="5.8" rx="1.3"/>`,
	"providers":    `<circle cx="4.5" cy="10" r="1.8"/><circle cx="15.5" cy="4.8" r="1.8"/><circle cx="15.5" cy="15.2" r="1.8"/><path d="M6.3 10H9c2 0 1.5-5.2 4.7-5.2M9 10c2 0 1.5 5.2 4.7 5.2"/>`,
	"templates":    `<path d="M5 2.8h6.5L15.5 7v10.2H5z"/><path d="M11.3 3v4.2h4M7.6 10.5h5M7.6 13.5h5"/>`,
	"suppressions": `<circle cx="10" cy="10" r="7"/><path d="m5.2 5.2 9.6 9.6"/>`,
	"webhooks":     `<path d="M8.2 11.8 11.8 8.2M9 6.2l1.9-1.9a3.4 3.4 0 0 1 4.8 4.8L13.8 11M6.2 9 4.3 10.9a3.4 3.4 0 0 0 4.8 4.8L11 13.8"/>`,
	"audit":        `<path d="M10 2.8 16.2 5v4.7c0 3.7-2.6 6.3-6.2 7.5-3.6-1.2-6.2-3.8-6.2-7.5V5z"/><path d="m7.3 9.9 2 2 3.5-3.8"/>`,
	"users":        `<circle cx="10" cy="6.8" r="3.2"/><path d="M3.8 17c.6-3.3 3-5 6.2-5s5.6 1.7 6.2 5"/>`,
	"search":       `<circle cx="9" cy="9" r="5.2"/><path d="m13 13 4 4"/>`,
	"menu":         `<path d="M3 5.5h14M3 10h14M3 14.5h14"/>`,
	"close":        `<path d="m5 5 10 10M15 5 5 15"/>`,
	"copy":         `<rect x="7" y="7" width="9.5" height="9.5" rx="1.8"/><path d="M4.5 13H3.8V4.8c0-.6.5-1 1-1H13v.7"/>`,
	"check":        `<path d="m4 10.5 4 4 8-9"/>`,
	"alert":        `<path d="M10 3.2 17.5 16.5h-15z"/><path d="M10 8v4M10 14.2v.1"/>`,
	"info":         `<circle cx="10" cy="10" r="7"/><path d="M10 9v5M10 6.3v.1"/>`,
	"clock":        `<circle cx="10" cy="10" r="7"/><path d="M10 6v4.3l2.8 1.7"/>`,
	"up":           `<path d="m5 12.5 5-5 5 5"/>`,
	"down":         `<path d="m5 7.5 5 5 5-5"/>`,
	"right":        `<path d="m8 4.5 5.5 5.5L8 15.5"/>`,
	"plus":         `<path d="M10 4v12M4 10h12"/>`,
	"sun":          `<circle cx="10" cy="10" r="3.2"/><path d="M10 2.5v1.8M10 15.7v1.8M2.5 10h1.8M15.7 10h1.8M4.7 4.7 6 6M14 14l1.3 1.3M15.3 4.7 14 6M6 14l-1.3 1.3"/>`,
	"moon":         `<path d="M16.5 12A7 7 0 0 1 8 3.5 7 7 0 1 0 16.5 12z"/>`,
	"system":       `<rect x="2.8" y="4" width="14.4" height="9.5" rx="1.5"/><path d="M7 17h6M10 13.5V17"/>`,
	"out":          `<path d="M8 3.5H4.5v13H8M12.5 6.5 16 10l-3.5 3.5M16 10H8"/>`,
	"key":          `<circle cx="6.5" cy="13.5" r="3.2"/><path d="m8.8 11.2 7-7M13 7l2.2 2.2M11 9l1.5 1.5"/>`,
	"phone":        `<rect x="5.5" y="2.5" width="9" height="15" rx="2"/><path d="M9 14.8h2"/>`,
}

// icon draws one; it says nothing to who listens, since words stand beside it.
func icon(name string) (template.HTML, error) {
	inner, ok := icons[name]
	if !ok {
		return "", fmt.Errorf("there is no icon %q", name)
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">` + inner + `</svg>`), nil //nolint:gosec // constants
}
