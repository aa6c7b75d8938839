package console

import (
	"net/url"
	"slices"
	"strings"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/story"
)

// liveChains is what live messages take, of an app or, for "", of apps that have no provider of their own. What decides stands in the API alone.
func (v *visit) liveChains(app string, suppose client.Supposed) ([]client.LiveChain, error) {
	a, err := v.admin()
	if err != nil {
		return nil, err
	}
	return a.LiveChains(v.ctx(), app, suppose)
}

// alone says whether there is one configuration only that an app's live messages of a channel can go by; not where that cannot be told.
func (v *visit) alone(app, channel string) bool {
	chains, err := v.liveChains(app, client.Supposed{})
	return err == nil && slices.ContainsFunc(chains, func(c client.LiveChain) bool { return c.Channel == channel && c.Candidates == 1 })
}

// channelName is a channel inside a sentence.
func channelName(channel string) string {
	if channel == client.SMS {
		return "SMS"
	}
	return "email"
}

// endOf is what becomes of live messages that nothing sends, after who they are; "" where something does.
func endOf(c *client.LiveChain) string {
	switch {
	case c.Sandbox:
		return "are captured by the sandbox, marked sent, and reach nobody"
	case c.NoProvider:
		return "fail"
	case c.WaitingFor != "":
		return "wait until a provider for them is added or switched on"
	}
	return ""
}

// lost says that live messages are not kept either: they end, and reach nobody.
func lost(c *client.LiveChain) bool { return c.Sandbox || c.NoProvider }

// lacks says of channels for which live messages have nothing to be sent with what becomes of those, in a sentence for each end that begins with "there is".
func lacks(chains []client.LiveChain) (out []string) {
	var ends []string
	channels := map[string][]string{}
	for i := range chains {
		end := endOf(&chains[i])
		if end == "" {
			continue
		}
		if channels[end] == nil {
			ends = append(ends, end)
		}
		channels[end] = append(channels[end], channelName(chains[i].Channel))
	}
	for _, end := range ends {
		out = append(out, "there is nothing to send "+strings.Join(channels[end], " or ")+" with: such messages "+end+".")
	}
	return out
}

// bareWords says of a channel for which a chain has no configuration what becomes of live messages.
func bareWords(o chainOf, c *client.LiveChain) string {
	switch end := endOf(c); {
	case end == "":
		return o.Owner() + " has none of its own for this channel: the server's are used."
	case o.App == nil:
		return "Nothing to send with: live messages of apps that have no provider of their own " + end + "."
	default:
		return "Nothing to send with: live messages " + end + "."
	}
}

// liveLacks is what lacks of an app that is live; none of one in the sandbox, where nothing is sent.
func (v *visit) liveLacks(app *client.App) ([]string, error) {
	if app.SandboxMode {
		return nil, nil
	}
	chains, err := v.liveChains(app.Slug, client.Supposed{})
	return lacks(chains), err
}

// goingLive says what comes of taking an app live.
func (v *visit) goingLive(app *client.App) (o outlook, err error) {
	chains, err := v.liveChains(app.Slug, client.Supposed{})
	if err != nil {
		return o, err
	}
	var sent []string
	for _, c := range chains {
		if endOf(&c) != "" {
			continue
		}
		what, whose := channelName(c.Channel), "the app's own providers."
		if c.Level == "SERVER" {
			whose = "the server's providers, since the app has none for it."
		}
		sent = append(sent, what)
		o.Points = append(o.Points, story.Capital(what)+" goes out by "+whose)
	}
	switch len(sent) {
	case len(chains):
	case 0:
		o.Lead = "Its messages still reach nobody."
	default:
		o.Lead = "From now on its messages by " + strings.Join(sent, " and ") + " go to real people."
	}
	for _, one := range lacks(chains) {
		o.Points = append(o.Points, story.Capital(one))
	}
	if len(sent) == 0 {
		return o, nil
	}
	goes, err := v.goesOut(app)
	o.Points = append(o.Points, goes)
	return o, err
}

// looksAt is how many of the newest messages that wait are looked at for those that were accepted live.
const looksAt = 100

// goesOut says how many of the messages that wait an app in the sandbox has sent once it is live: what it accepted in the sandbox stays there.
func (v *visit) goesOut(app *client.App) (string, error) {
	const stay = "What was accepted in the sandbox stays there"
	found, err := fetch[listing[client.AppMessage]](v, "", "/api/admin/messages", url.Values{"app": {app.ID}, "status": {"QUEUED"}, "limit": {itoa(looksAt)}})
	if err != nil {
		return "", err
	}
	n := 0
	for i := range found.Data {
		if !found.Data[i].Sandbox {
			n++
		}
	}
	switch {
	case n == 0 && found.Next == "":
		return stay + ": nothing of what waits at this moment goes out.", nil
	case n == 0:
		return stay + ": of what waits only messages that were accepted live go out.", nil
	case found.Next != "":
		return stay + ". At least " + plural(n, "message that was accepted live waits and goes out.", "messages that were accepted live wait and go out."), nil
	}
	return stay + ". " + plural(n, "message that was accepted live waits and goes out.", "messages that were accepted live wait and go out."), nil
}

// takeLive takes an app live, and tells what the API warns of then.
func (v *visit) takeLive(app *client.App) error {
	back := v.cameFrom(appsPath + "/" + app.Slug)
	a, err := v.admin()
	if err != nil {
		return err
	}
	made, err := a.UpdateApp(v.ctx(), app.ID, client.AdminApp{SandboxMode: new(false)})
	if err != nil {
		return v.undone(back, err)
	}
	lacking, err := v.liveLacks(made)
	if err != nil { // it is live all the same
		for _, w := range made.Warnings {
			lacking = append(lacking, w.Message)
		}
	}
	told := toast{Text: "The app is live.", Bad: len(lacking) > 0}
	for _, one := range lacking {
		told.Text += " " + story.Capital(one)
	}
	v.leaveToast(told)
	v.redirect(back)
	return nil
}

// afterwards says where the messages of a configuration go once it is deleted or switched off. What is typed first then is the subject's.
func (v *visit) afterwards(x *providerAt, suppose client.Supposed) (outlook, error) {
	chains, err := v.liveChains(x.slug(), suppose)
	if err != nil {
		return outlook{}, err
	}
	at := slices.IndexFunc(chains, func(c client.LiveChain) bool { return c.Channel == x.P.Channel })
	if at < 0 {
		return outlook{Points: []string{"This version cannot tell where messages go then."}, Typed: true}, nil
	}
	c, what := &chains[at], channelName(x.P.Channel)
	end, whose := endOf(c), "live apps without a provider of their own"
	if x.App != nil {
		whose = x.App.Name
	}
	switch {
	case end == "" && !x.P.IsActive:
		return outlook{Points: []string{"It is off already: no message goes by it."}}, nil
	case end == "" && (x.App == nil || c.Level == "APP"):
		return outlook{Points: []string{"Messages go to the next one of the chain."}}, nil
	case end == "":
		return outlook{Points: []string{x.App.Name + " has no other provider for " + what + " that is on: the server's chain takes over, with the senders that the server and the app's settings allow."}}, nil
	case x.App != nil && x.App.SandboxMode:
		return outlook{Points: []string{x.App.Name + " is in the sandbox, where nothing is sent. Nothing else sends " + what + " of it once it is live: its messages " + end + "."}}, nil
	}
	none := "Nothing else sends " + what + " of " + whose + ": "
	if x.App == nil {
		return outlook{Points: []string{none + "what waits of them and all messages that come " + end + "."}, Typed: lost(c)}, nil
	}
	t, err := v.backlogOf(x.App, x.P.Channel)
	if err != nil {
		return outlook{}, err
	}
	return outlook{Points: []string{none + waitingAnd(t) + " " + end + "."}, Typed: lost(c)}, nil
}

// waitingAnd is what waits, and what comes.
func waitingAnd(t client.QueueTotals) string {
	switch {
	case t.Waiting == 0:
		return "all messages that come"
	case t.AtLeast:
		return "more than " + plural(t.Waiting, "message that waits", "messages that wait") + " and all that come"
	}
	return plural(t.Waiting, "message that waits", "messages that wait") + " and all that come"
}
