package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/provider"
)

const providersPath = Root + "/providers"

// Which chain is meant is said by the query: ?app= names an app, without it the server's own is meant.
func (c *Console) providerRoutes() []route {
	one := providersPath + "/{id}"
	return []route{
		{"GET", providersPath, "providers", actSee, false, (*visit).listProviders},
		{"POST", providersPath, "providers", actOperate, false, (*visit).orderProviders},
		{"GET", providersPath + "/new", "providers", actOperate, false, (*visit).showNewProvider},
		{"POST", providersPath + "/new", "providers", actOperate, false, (*visit).createProvider},
		{"GET", one, "providers", actSee, false, (*visit).showProvider},
		{"GET", one + "/edit", "providers", actOperate, false, (*visit).showEditProvider},
		{"POST", one + "/edit", "providers", actOperate, false, (*visit).saveProvider},
		{"POST", one + "/verify", "providers", actOperate, false, (*visit).verifyProvider},
		{"POST", one + "/test", "providers", actOperate, false, (*visit).testProvider},
		{"GET", one + "/do/{act}", "providers", actOperate, false, (*visit).confirmProviderAct},
		{"POST", one + "/do/{act}", "providers", actOperate, false, (*visit).providerAct},
	}
}

// chain is whose configurations are meant: an app's or the server's.
type chainOf struct {
	App *client.App // nil: the server's
}

// theChain reads whose chain the query names.
func (v *visit) theChain() (chainOf, error) {
	name := v.asked("app")
	if name == "" {
		return chainOf{}, nil
	}
	admin, err := v.admin()
	if err != nil {
		return chainOf{}, err
	}
	app, err := admin.App(v.ctx(), name)
	return chainOf{app}, err
}

// slug is the app to act for in calls of the API; "" is the server.
func (o chainOf) slug() string {
	if o.App == nil {
		return ""
	}
	return o.App.Slug
}

// api is the API's path of the chain.
func (o chainOf) api() string {
	if o.App == nil {
		return "/api/admin/provider-configs"
	}
	return "/api/v1/provider-configs"
}

// Query is what the console's links to the chain end with.
func (o chainOf) Query() string {
	if o.App == nil {
		return ""
	}
	return "?app=" + url.QueryEscape(o.App.Slug)
}

// Owner names whose chain it is.
func (o chainOf) Owner() string {
	if o.App == nil {
		return "the server"
	}
	return o.App.Name
}

// at is the path of a page of one configuration.
func (o chainOf) at(id, page string) string {
	return providersPath + "/" + url.PathEscape(id) + page + o.Query()
}

// To is the path that offers an act.
func (x *providerAt) To(act string) string { return x.to("/do/" + act) }

func (o chainOf) trail() []crumb { return []crumb{{"Providers", providersPath + o.Query()}} }

// providerPage is a chain: the configurations in the order in which they are tried.
type providerPage struct {
	chainOf
	Apps   []client.App
	Chains []channelChain
	Any    bool
	Lacks  []string // of a live app; see lacks
}

// channelChain is the chain of one channel.
type channelChain struct {
	Channel string
	Links   []chainLink
	Ids     string // in order, for the form that moves them
	Bare    string // what becomes of live messages, where there is no configuration
	Server  bool   // the server's chain sends them
}

// chainLink is a configuration in its place.
type chainLink struct {
	client.Provider
	At          string
	Title       string // of the type
	N           int
	First, Last bool
	How         *healthCard // nil: the API does not say
}

func (v *visit) configs(o chainOf) ([]client.Provider, error) {
	found, err := fetch[listing[client.Provider]](v, o.slug(), o.api(), nil)
	if err != nil {
		return nil, err
	}
	return found.Data, nil
}

// chains parts the configurations by channel; the API answers them in the order of failover. live is what live messages take.
func (v *visit) chains(o chainOf, all []client.Provider, live []client.LiveChain) []channelChain {
	var out []channelChain
	for _, channel := range []string{client.Email, client.SMS} {
		x := channelChain{Channel: channel}
		for _, p := range all {
			if p.Channel == channel {
				link := chainLink{Provider: p, At: o.at(p.ID, ""), Title: v.c.titleOf(p.ProviderType), N: len(x.Links) + 1, First: len(x.Links) == 0}
				link.How = newHealth(&providerAt{o, &p, nil})
				x.Links = append(x.Links, link)
			}
		}
		var ids []string
		for _, one := range x.Links {
			ids = append(ids, one.ID)
		}
		if x.Ids = strings.Join(ids, " "); len(x.Links) > 0 {
			x.Links[len(x.Links)-1].Last = true
		} else if at := slices.IndexFunc(live, func(c client.LiveChain) bool { return c.Channel == channel }); at >= 0 {
			x.Bare, x.Server = bareWords(o, &live[at]), o.App != nil && live[at].Level == "SERVER"
		}
		out = append(out, x)
	}
	return out
}

// titleOf is the name of a type for people.
func (c *Console) titleOf(kind string) string {
	if a := c.adapter(kind); a != nil {
		return a.Title
	}
	return kind
}

// reports says whether a provider, as a message names it, tells later what became of a message. Of one that this version does
// not know nobody can tell.
func (c *Console) reports(name string) bool {
	a := c.adapter(strings.ToUpper(name))
	return a == nil || a.Reports()
}

func (c *Console) adapter(kind string) *provider.Adapter {
	at := slices.IndexFunc(c.cfg.Adapters, func(a provider.Adapter) bool { return a.Type == kind })
	if at < 0 {
		return nil
	}
	return &c.cfg.Adapters[at]
}

func (v *visit) listProviders() error {
	o, err := v.theChain()
	if err != nil {
		return err
	}
	p := &providerPage{chainOf: o}
	if p.Apps, err = v.someApps(); err != nil {
		return err
	}
	all, err := v.configs(o)
	if err != nil {
		return err
	}
	live, err := v.liveChains(o.slug(), client.Supposed{})
	if err != nil {
		return err
	}
	if o.App != nil && !o.App.SandboxMode {
		p.Lacks = lacks(live)
	}
	p.Chains, p.Any = v.chains(o, all, live), len(all) > 0
	return v.show("providers", page{Title: "Providers", Data: p})
}

// limitFields are what every type has besides its own fields.
func limitFields(p *client.Provider) []field {
	count := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	if p == nil {
		p = &client.Provider{}
	}
	return []field{
		{Name: "ratePerSecond", Label: "At most a second", Kind: numberField, Min: "0", Max: "100000", Suffix: "messages", Value: count(p.RatePerSecond), Help: "Empty: as fast as it goes."},
		{Name: "ratePerDay", Label: "At most a day", Kind: numberField, Min: "0", Max: "1000000000", Suffix: "attempts", Value: count(p.RatePerDay), Help: "Of a UTC day. A part is kept for login codes. Empty: any number."},
		{Name: "maxConcurrency", Label: "Calls at once", Kind: numberField, Min: "0", Max: "10000", Suffix: "calls", Value: count(p.MaxConcurrency), Help: "Empty: what the server finds sensible."},
	}
}

// prefix parts the fields of a type from those that all have.
const prefix = "config."

// typeFields makes the inputs of a type from its table of fields. p is the configuration as it is; nil for a new one.
func typeFields(a *provider.Adapter, p *client.Provider) []field {
	var out []field
	for _, f := range a.Fields {
		one := field{Name: prefix + f.Name, Path: prefix + f.Name, Label: f.Label, Help: f.Help, Must: f.Required, Kind: textField, Hint: f.Default}
		switch f.Kind {
		case provider.Int:
			one.Kind, one.Min, one.Max = numberField, strconv.Itoa(f.Min), strconv.Itoa(f.Max)
		case provider.Bool:
			one.Kind, one.Hint = checkField, ""
			if f.Default == "true" && p == nil {
				one.Value = "on"
			}
		case provider.URL:
			one.Kind = urlField
		case provider.Host, provider.Token:
			one.Mono = true
		}
		if p != nil {
			one.Value = shownValue(p.Config[f.Name], one.Kind)
		}
		if f.Secret {
			one.Kind, one.Value, one.Hint, one.Fill = secretField, "", "", "new-password"
			if p != nil && p.Config[f.Name] != nil {
				one.Must = false
				one.Help = strings.TrimSpace(one.Help + " It is set; leave this empty to keep it.")
			}
		}
		out = append(out, one)
	}
	return out
}

// shownValue is a setting as an input shows it.
func shownValue(value any, kind string) string {
	switch value := value.(type) {
	case string:
		return value
	case bool:
		if value {
			return "on"
		}
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	}
	return ""
}

// sentConfig reads the fields of a type. What is empty in a change is removed (null), but for secrets, which stay as they are.
func sentConfig(a *provider.Adapter, in url.Values, change bool) map[string]any {
	out := map[string]any{}
	for _, f := range a.Fields {
		raw := strings.TrimSpace(in.Get(prefix + f.Name))
		switch {
		case f.Kind == provider.Bool:
			out[f.Name] = raw == "on"
		case raw == "" && f.Secret || raw == "" && !change:
		case raw == "":
			out[f.Name] = nil
		case f.Kind == provider.Int:
			out[f.Name] = figure(raw)
		case f.Secret:
			out[f.Name] = in.Get(prefix + f.Name) // as it was typed: a password may begin with a blank
		default:
			out[f.Name] = raw
		}
	}
	return out
}

func newProviderForm(a *provider.Adapter) *form {
	return &form{Fields: slices.Concat([]field{{Name: "name", Label: "Name", Kind: textField, Length: 100, Value: a.Title, Must: true, Help: "For people: it stands in the log of each message."}}, typeFields(a, nil), limitFields(nil))}
}

// typeChoice is the page on which a type is chosen.
type typeChoice struct {
	chainOf
	Groups []typeGroup
}

type typeGroup struct {
	Channel string
	Types   []provider.Adapter
}

func (v *visit) showNewProvider() error {
	o, err := v.theChain()
	if err != nil {
		return err
	}
	if a := v.c.adapter(v.asked("type")); a != nil {
		return v.newProviderPage(http.StatusOK, o, a, newProviderForm(a))
	}
	p := &typeChoice{chainOf: o, Groups: []typeGroup{{Channel: client.Email}, {Channel: client.SMS}}}
	for _, a := range v.c.cfg.Adapters {
		for i := range p.Groups {
			if a.Open != nil && a.Channel.String() == p.Groups[i].Channel {
				p.Groups[i].Types = append(p.Groups[i].Types, a)
			}
		}
	}
	return v.show("new-provider", page{Title: "New provider", Trail: o.trail(), Data: p})
}

func (v *visit) newProviderPage(status int, o chainOf, a *provider.Adapter, f *form) error {
	q := url.Values{"type": {a.Type}}
	if o.App != nil {
		q.Set("app", o.App.Slug)
	}
	return v.showStatus(status, "form", page{Title: "New provider: " + a.Title, Trail: o.trail(), Data: formPage{Form: f, Action: providersPath + "/new?" + q.Encode(), Button: "Add the provider", Back: providersPath + o.Query(),
		Lead: "It joins the end of the chain of " + o.Owner() + ". Secrets are encrypted, and nobody can read them again."}})
}

func (v *visit) createProvider() error {
	o, err := v.theChain()
	if err != nil {
		return err
	}
	a := v.c.adapter(v.asked("type"))
	if a == nil {
		return missing("type of provider")
	}
	f, in := newProviderForm(a), v.r.PostForm
	f.take(in)
	all, err := v.configs(o)
	if err != nil {
		return err
	}
	last := 0
	for _, p := range all {
		last = max(last, p.Priority)
	}
	made := &client.Provider{}
	body := limitsOf(in)
	body["providerType"], body["name"], body["priority"], body["config"] = a.Type, strings.TrimSpace(in.Get("name")), last+apart, sentConfig(a, in, false)
	if err := send(v, o.slug(), http.MethodPost, o.api(), body, made); err != nil {
		return v.refused(err, f, func(status int) error { return v.newProviderPage(status, o, a, f) })
	}
	return v.done(o.at(made.ID, ""), "The provider is added. Check it before messages go there.")
}

// limitsOf reads the limits of a form; an empty one is none.
func limitsOf(in url.Values) map[string]any {
	out := map[string]any{}
	for _, name := range []string{"ratePerSecond", "ratePerDay", "maxConcurrency"} {
		out[name] = figure(in.Get(name))
	}
	return out
}
