package app

import (
	"context"
	"strings"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/docsite"
	"github.com/commserver/commserver/internal/trial"
)

// watch makes what tells the operator that something is wrong.
func (a *App) watch(opt Options, out doors, waits *backlog.Service, tries *trial.Service) {
	looks := append(alert.Looks(a.store, a.cfg.AlertPatience), alert.WaitingLook(a.cfg.AlertWaiting, func(ctx context.Context, before comm.Micros) (found []alert.Waiting, more bool, err error) {
		units, more, err := waits.Overdue(ctx, before)
		for i := range units {
			u := &units[i]
			found = append(found, alert.Waiting{App: u.App.ID, Slug: u.App.Slug, Channel: u.Channel, Lane: u.Lane, Since: u.OldestDue, Reason: u.Hold.Reason})
		}
		return found, more, err
	}))
	if disk, ok := a.store.(interface{ Free() (uint64, bool) }); ok && a.cfg.AlertFreeSpace > 0 {
		looks = append(looks, alert.SpaceLook(a.cfg.AlertFreeSpace, disk.Free))
	}
	leads := a.leads
	if a.dispatcher == nil {
		a.standIn = newStandIn(a.store.Led, a.cfg.AlertPatience)
		leads = a.standIn.leads
	}
	a.alerts = alert.New(alert.Config{Store: a.store, Now: a.store.Now, Leads: leads, Patience: a.cfg.AlertPatience, Looks: looks, Ping: a.store.Ping, Pages: a.base + docsite.Incidents, Tellers: a.tellers(opt, out, tries), Log: a.log})
}

// tellers are the ways in which the operator wants to be told.
func (a *App) tellers(opt Options, out doors, tries *trial.Service) map[string]alert.Teller {
	all := map[string]alert.Teller{}
	if url := a.cfg.AlertWebhookURL.Reveal(); url != "" {
		hook := &alert.Hook{URL: url, Secret: a.cfg.AlertWebhookSecret.Reveal(), Dial: out.web.DialContext, Version: opt.Version}
		if strings.HasPrefix(strings.ToLower(url), "http://") {
			hook.Dial = out.plain.DialContext
		}
		all["webhook"] = hook.Post
	}
	if to := a.cfg.AlertEmail; to != "" {
		all["email"] = func(ctx context.Context, n *alert.Note) error {
			return tries.Mail(ctx, n.ID, to, "CommServer: "+n.Title, n.Mail()+"\n\nServer: "+a.base)
		}
	}
	return all
}
