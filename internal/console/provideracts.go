package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/provider"
)

// providerAt is a configuration with its chain.
type providerAt struct {
	chainOf
	P *client.Provider
	A *provider.Adapter // nil: this version does not know the type
}

func (x *providerAt) to(page string) string { return x.at(x.P.ID, page) }

func (x *providerAt) trail(whole bool) []crumb {
	out := x.chainOf.trail()
	if whole {
		out = append(out, crumb{x.P.Name, x.to("")})
	}
	return out
}

func (v *visit) theProvider() (*providerAt, error) {
	o, err := v.theChain()
	if err != nil {
		return nil, err
	}
	p, err := fetch[client.Provider](v, o.slug(), o.api()+"/"+client.Escape(v.param("id")), nil)
	if err != nil {
		return nil, err
	}
	return &providerAt{o, p, v.c.adapter(p.ProviderType)}, nil
}

// oneProvider is the page of a configuration.
type oneProvider struct {
	*providerAt
	Title        string
	Verify, Test string // paths of its forms
	Edit         string
	Settings     []changed // by the table of fields; secrets are masked
	Acts         []deed[*providerAt]
	Health       *healthCard
	Checked      *checked
	Tried        *tried
	TestForm     *form
	Docs         string
}

// checked is what verifying came to.
type checked struct {
	OK     bool `json:"ok"`
	Checks []struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Detail string `json:"detail"`
	} `json:"checks"`
	TookMs int64 `json:"tookMs"`
}

// tried is what a test message came to.
type tried struct {
	OK              bool   `json:"ok"`
	Class           string `json:"class"`
	Code            string `json:"code"`
	Text            string `json:"text"`
	Reference       string `json:"reference"`
	MayHaveBeenSent bool   `json:"mayHaveBeenSent"`
	TookMs          int64  `json:"tookMs"`
}

func testForm(channel string) *form {
	one := field{Name: "to", Label: "To", Kind: textField, Must: true, Length: 254, Hint: "ama@example.com", Help: "A real message goes to this address, through this provider alone."}
	if channel == client.SMS {
		one.Hint = "233241234567"
	}
	return (&form{Fields: []field{one}}).renew()
}

func (v *visit) showProvider() error {
	x, err := v.theProvider()
	if err != nil {
		return err
	}
	return v.providerPage(http.StatusOK, x, &oneProvider{TestForm: testForm(x.P.Channel)})
}

func (v *visit) providerPage(status int, x *providerAt, p *oneProvider) error {
	p.providerAt, p.Title, p.Docs = x, v.c.titleOf(x.P.ProviderType), "/docs/providers/"+strings.ToLower(x.P.ProviderType)
	p.Verify, p.Test, p.Edit = x.to("/verify"), x.to("/test"), x.to("/edit")
	p.Settings, p.Health = settingsOf(x), newHealth(x)
	if p.Health != nil && p.Health.Reason == chain.WaitDown && v.alone(x.slug(), x.P.Channel) {
		p.Health.Remedy += " " + chain.Alone
	}
	updates := p.Health != nil && p.Health.moves()
	if updates {
		p.Health.Live = !v.paused()
	}
	p.Acts = offered(v, providerDeeds(), x)
	return v.showStatus(status, "provider", page{Title: x.P.Name, Trail: x.trail(false), Data: p, Updates: updates})
}

// settingsOf shows the settings in the order of the type's fields.
func settingsOf(x *providerAt) []changed {
	var out []changed
	if x.A == nil {
		return nil
	}
	for _, f := range x.A.Fields {
		value, set := x.P.Config[f.Name]
		one := changed{Name: f.Label, To: valueWords(value)}
		switch {
		case !set || value == nil:
			if one.To = ""; f.Default != "" {
				one.From = "usually " + f.Default
			}
		case value == true:
			one.To = "yes"
		case value == false:
			one.To = "no"
		}
		out = append(out, one)
	}
	return out
}

func editProviderForm(x *providerAt) *form {
	return &form{Fields: slices.Concat([]field{{Name: "name", Label: "Name", Kind: textField, Length: 100, Value: x.P.Name, Must: true}}, typeFields(x.A, x.P), limitFields(x.P))}
}

// editable is an error where this version does not know the type.
func (x *providerAt) editable() error {
	if x.A == nil {
		return refusal{http.StatusConflict, "This version does not know the type " + x.P.ProviderType + ".", "Update the server, or delete the provider."}
	}
	return nil
}

func (v *visit) showEditProvider() error {
	x, err := v.theProvider()
	if err == nil {
		err = x.editable()
	}
	if err != nil {
		return err
	}
	return v.editProviderPage(http.StatusOK, x, editProviderForm(x).remembering())
}

func (v *visit) editProviderPage(status int, x *providerAt, f *form) error {
	return v.showStatus(status, "form", page{Title: "Change " + x.P.Name, Trail: x.trail(true), Data: formPage{Form: f, Action: x.to("/edit"), Button: "Save", Back: x.to(""), Lead: "Messages that start from now on go by it."}})
}

func (v *visit) saveProvider() error {
	x, err := v.theProvider()
	if err == nil {
		err = x.editable()
	}
	if err != nil {
		return err
	}
	f, in := editProviderForm(x).remembering(), v.r.PostForm
	again := func(status int) error { return v.editProviderPage(status, x, f) }
	done, ok := f.edited(in)
	if !ok {
		return again(stale)
	}
	body := limitsOf(in)
	body["name"] = strings.TrimSpace(in.Get("name"))
	body = done.only(body, "")
	if config := done.only(sentConfig(x.A, in, true), prefix); len(config) > 0 {
		body["config"] = config
	}
	if len(body) == 0 {
		return v.unedited(x.to(""))
	}
	if err := v.changeProvider(x, body); err != nil {
		return v.refused(err, f, again)
	}
	return v.done(x.to(""), "The provider is changed.")
}

func (v *visit) changeProvider(x *providerAt, change map[string]any) error {
	return send(v, x.slug(), http.MethodPatch, x.api()+"/"+client.Escape(x.P.ID), change, nil)
}

func (v *visit) verifyProvider() error {
	x, err := v.theProvider()
	if err != nil {
		return err
	}
	got := &checked{}
	if err := send(v, x.slug(), http.MethodPost, x.api()+"/"+client.Escape(x.P.ID)+"/verify", nil, got); err != nil {
		return v.undone(x.to(""), err)
	}
	return v.providerPage(http.StatusOK, x, &oneProvider{TestForm: testForm(x.P.Channel), Checked: got})
}

func (v *visit) testProvider() error {
	x, err := v.theProvider()
	if err != nil {
		return err
	}
	in := v.r.PostForm
	p, to := &oneProvider{TestForm: testForm(x.P.Channel)}, strings.TrimSpace(in.Get("to"))
	p.TestForm.take(in)
	press, err := pressOf(in)
	if err != nil {
		return err
	}
	got, err := v.c.tests.once(v.ctx(), strings.Join([]string{v.user.ID, x.P.ID, press, to}, "\x00"), func() (*tried, error) {
		got := &tried{}
		return got, send(v.lasting(), x.slug(), http.MethodPost, x.api()+"/"+client.Escape(x.P.ID)+"/test", map[string]string{"to": to}, got)
	})
	var e *client.Error
	switch {
	case err == nil:
		p.Tried = got
	case errors.As(err, &e) && e.Status == http.StatusConflict:
		return v.undone(x.to(""), err)
	default:
		return v.refused(err, p.TestForm, func(status int) error { return v.providerPage(status, x, p) })
	}
	return v.providerPage(http.StatusOK, x, p)
}

// providerChange makes the act that changes one member.
func providerChange(member string, value any) func(*visit, *providerAt) error {
	return func(v *visit, x *providerAt) error { return v.changeProvider(x, map[string]any{member: value}) }
}

// providerDeeds is the table of what can be done to a configuration.
func providerDeeds() []deed[*providerAt] {
	return []deed[*providerAt]{
		{Word: "pin", Name: "Pin it", when: func(x *providerAt) bool { return !x.P.Pinned && x.P.IsActive }, title: "Pin this provider?", lead: "It is tried first, whatever happens.",
			points: []string{"It is never passed by because it fails: a call of it is made for each message, even while it is down.", "The others are tried after it, in their order."}, button: "Pin it", done: "The provider is pinned.", do: providerChange("pinned", true)},
		{Word: "unpin", Name: "Unpin it", when: func(x *providerAt) bool { return x.P.Pinned }, title: "Unpin this provider?", lead: "It goes back to its place in the chain, and is passed by while it fails.", button: "Unpin it", done: "The provider is not pinned any more.", do: providerChange("pinned", false)},
		{Word: "off", Name: "Switch it off", when: func(x *providerAt) bool { return x.P.IsActive }, title: "Switch this provider off?", lead: "No call of it is started any more.",
			ahead:  func(v *visit, x *providerAt) (outlook, error) { return v.afterwards(x, client.Supposed{Off: x.P.ID}) },
			points: []string{"Calls that have begun end as they do, and its reports are still taken."}, button: "Switch it off", done: "The provider is off.", do: providerChange("isActive", false)},
		{Word: "on", Name: "Switch it on", when: func(x *providerAt) bool { return !x.P.IsActive }, title: "Switch this provider on?", lead: "Messages go to it again, in its place in the chain.", button: "Switch it on", done: "The provider is on.", do: providerChange("isActive", true)},
		{Word: "callback", Name: "Replace the callback URL", when: func(x *providerAt) bool { return x.P.CallbackURL != "" }, title: "Give it another callback URL?", lead: "Messages that are sent from now on name the new one.",
			points: []string{"Reports to the old one are taken for seven days more.", "Where the URL is registered with the provider, enter the new one there within that time."}, button: "Make the new URL", done: "The provider has another callback URL.",
			do: func(v *visit, x *providerAt) error {
				const week = 7 * 24 * 60 * 60
				return send(v, x.slug(), http.MethodPost, x.api()+"/"+client.Escape(x.P.ID)+"/rotate-callback", map[string]any{"overlapSeconds": week}, nil)
			}},
		{Word: "delete", Name: "Delete it", Danger: true, ends: true, when: func(*providerAt) bool { return true }, title: "Delete this provider?", lead: "It cannot be brought back.",
			ahead: func(v *visit, x *providerAt) (outlook, error) {
				return v.afterwards(x, client.Supposed{Without: x.P.ID})
			},
			points: []string{"Reports that it still sends are no longer taken.", "Its credentials go with it."}, button: "Delete the provider", done: "The provider is deleted.",
			do: func(v *visit, x *providerAt) error {
				return send(v, x.slug(), http.MethodDelete, x.api()+"/"+client.Escape(x.P.ID), nil, nil)
			}},
	}
}

// aProvider is the configuration of the path as what is done to it speaks of it.
func (v *visit) aProvider() (*subject[*providerAt], error) {
	x, err := v.theProvider()
	if err != nil {
		return nil, err
	}
	typed := x.P.Name
	if x.App != nil {
		typed = x.App.Slug
	}
	return &subject[*providerAt]{x: x, typed: typed, name: x.P.Name + " of " + x.Owner(), at: x.to(""), list: providersPath + x.Query(), acts: providersPath + "/" + url.PathEscape(x.P.ID) + "/do/", query: x.Query(), trail: x.trail(true)}, nil
}

func (v *visit) confirmProviderAct() error {
	return confirmDeed(v, providerDeeds(), v.param("act"), v.aProvider)
}

func (v *visit) providerAct() error { return runDeed(v, providerDeeds(), v.param("act"), v.aProvider) }
