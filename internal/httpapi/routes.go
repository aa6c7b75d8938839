package httpapi

import (
	"net/http"
	"slices"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
)

// Who may use a route.
type Who uint8

// The four doors.
const (
	Anyone      Who = iota + 1
	AnApp           // X-App-ID with its key, which must have the route's scope, or with X-Admin-Key
	Provisioner     // X-Provisioning-Key
	Admin           // X-Admin-Key; the handler's caller is nil
)

// Route is one row of the table.
type Route struct {
	Method, Path string
	Who          Who
	Scope        comm.Scopes // of AnApp
	Query        bool        // it takes parameters, which its handler reads; elsewhere any is refused
	handle       func(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error
}

// routes is everything that is served. The contract in api/openapi.json and the
// matrix of apps and scopes in the tests are held against it.
func (a *API) routes() []Route {
	health := []Route{
		{"GET", "/healthz", Anyone, 0, false, a.healthz},
		{"GET", "/readyz", Anyone, 0, false, a.readyz},
	}
	if a.cfg.HealthOnly {
		return health
	}
	return slices.Concat(health, a.appRoutes(), a.webhookRoutes(), []Route{
		{"GET", callbackPath, Anyone, 0, true, a.takeCallback},
		{"POST", callbackPath, Anyone, 0, true, a.takeCallback},

		{"POST", "/api/provision/apps", Provisioner, 0, false, a.provision},

		{"GET", "/api/openapi", Anyone, 0, false, a.openapi},
		{"GET", "/{$}", Anyone, 0, false, a.root},
	}, a.adminRoutes())
}

// appRoutes is what an app's keys open.
func (a *API) appRoutes() []Route {
	return []Route{
		{"POST", "/api/v1/messages", AnApp, comm.ScopeSend, false, a.createMessage},
		{"POST", "/api/v1/messages/batch", AnApp, comm.ScopeSend, false, a.createBatch},
		{"POST", "/api/v1/messages/preview", AnApp, comm.ScopeSend, false, a.previewMessage},
		{"GET", "/api/v1/messages", AnApp, comm.ScopeRead, true, a.listMessages},
		{"GET", "/api/v1/messages/{id}", AnApp, comm.ScopeRead, false, a.getMessage},
		{"PATCH", "/api/v1/messages/{id}", AnApp, comm.ScopeSend, false, a.changeMessage},

		{"GET", "/api/v1/sandbox/messages", AnApp, comm.ScopeRead, true, a.listCaptures},
		{"GET", "/api/v1/sandbox/messages/wait", AnApp, comm.ScopeRead, true, a.waitForCapture},
		{"GET", "/api/v1/sandbox/messages/{id}", AnApp, comm.ScopeRead, false, a.getCapture},
		{"GET", "/api/v1/sandbox/messages/{id}/source", AnApp, comm.ScopeRead, false, a.getCaptureSource},

		{"GET", "/api/v1/events", AnApp, comm.ScopeRead, true, a.listEvents},
		{"GET", "/api/v1/events/stream", AnApp, comm.ScopeRead, true, a.streamEvents},

		{"GET", "/api/v1/stats", AnApp, comm.ScopeRead, true, a.appStats},

		{"GET", "/api/v1/app", AnApp, comm.ScopeRead, false, a.getApp},
		{"PATCH", "/api/v1/app", AnApp, comm.ScopeProviders, false, a.changeApp},

		{"POST", "/api/v1/provider-configs", AnApp, comm.ScopeProviders, false, a.createProvider},
		{"GET", "/api/v1/provider-configs", AnApp, comm.ScopeProviders, false, a.listProviders},
		{"GET", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, false, a.getProvider},
		{"PATCH", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, false, a.changeProvider},
		{"DELETE", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, false, a.deleteProvider},
		{"POST", "/api/v1/provider-configs/{id}/rotate-callback", AnApp, comm.ScopeProviders, false, a.rotateCallback},
		{"POST", "/api/v1/provider-configs/{id}/verify", AnApp, comm.ScopeProviders, false, a.verifyProvider},
		{"POST", "/api/v1/provider-configs/{id}/test", AnApp, comm.ScopeProviders, false, a.testProvider},

		{"POST", "/api/v1/templates", AnApp, comm.ScopeTemplates, false, a.createTemplate},
		{"GET", "/api/v1/templates", AnApp, comm.ScopeTemplates, true, a.listTemplates},
		{"GET", "/api/v1/templates/{id}", AnApp, comm.ScopeTemplates, false, a.getTemplate},
		{"PATCH", "/api/v1/templates/{id}", AnApp, comm.ScopeTemplates, false, a.changeTemplate},
		{"DELETE", "/api/v1/templates/{id}", AnApp, comm.ScopeTemplates, false, a.deleteTemplate},
		{"GET", "/api/v1/templates/{id}/versions", AnApp, comm.ScopeTemplates, false, a.listVersions},
		{"GET", "/api/v1/templates/{id}/versions/{version}", AnApp, comm.ScopeTemplates, false, a.getVersion},
		{"POST", "/api/v1/templates/{id}/rollback", AnApp, comm.ScopeTemplates, false, a.rollbackTemplate},
		{"POST", "/api/v1/templates/{id}/preview", AnApp, comm.ScopeTemplates, false, a.previewTemplate},

		{"POST", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, false, a.createSuppression},
		{"GET", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, true, a.listSuppressions},
		{"DELETE", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, true, a.deleteSuppression},
		{"POST", "/api/v1/suppressions/import", AnApp, comm.ScopeSuppressions, false, a.importSuppressions},
		{"GET", "/api/v1/suppressions/export", AnApp, comm.ScopeSuppressions, true, a.exportSuppressions},

		{"POST", "/api/v1/erasures", AnApp, comm.ScopeSuppressions, false, a.createErasure},
		{"GET", "/api/v1/erasures/{id}", AnApp, comm.ScopeSuppressions, false, a.getErasure},
		{"GET", exportPath, AnApp, comm.ScopeRead | comm.ScopeSuppressions, true, a.exportPerson},
	}
}

// adminRoutes is what the administrator's key opens.
func (a *API) adminRoutes() []Route {
	return []Route{
		{"GET", "/api/admin/apps", Admin, 0, true, a.listApps},
		{"POST", "/api/admin/apps", Admin, 0, false, a.createApp},
		{"GET", "/api/admin/apps/{app}", Admin, 0, false, a.getAnyApp},
		{"PATCH", "/api/admin/apps/{app}", Admin, 0, false, a.changeAnyApp},
		{"DELETE", "/api/admin/apps/{app}", Admin, 0, true, a.deleteApp},
		{"GET", "/api/admin/apps/{app}/keys", Admin, 0, true, a.listKeys},
		{"POST", "/api/admin/apps/{app}/keys", Admin, 0, false, a.createKey},
		{"POST", "/api/admin/apps/{app}/keys/{id}/rotate", Admin, 0, false, a.rotateKey},
		{"DELETE", "/api/admin/apps/{app}/keys/{id}", Admin, 0, false, a.revokeKey},
		{"GET", "/api/admin/messages", Admin, 0, true, a.listAllMessages},
		{"GET", "/api/admin/messages/{id}", Admin, 0, false, a.getAnyMessage},
		{"PATCH", "/api/admin/messages/{id}", Admin, 0, false, a.changeAnyMessage},
		{"GET", "/api/admin/suppressions", Admin, 0, true, a.findSuppressions},
		{"GET", "/api/admin/queue", Admin, 0, true, a.showQueue},
		{"POST", "/api/admin/queue", Admin, 0, false, a.changeQueue},
		{"POST", "/api/admin/erasures", Admin, 0, false, a.createAnyErasure},
		{"GET", "/api/admin/erasures/{id}", Admin, 0, false, a.getAnyErasure},
		{"GET", "/api/admin/upkeep", Admin, 0, false, a.getUpkeep},
		{"GET", "/api/admin/alerts", Admin, 0, false, a.listAlerts},
		{"GET", "/api/admin/stats", Admin, 0, true, a.allStats},
		{"GET", "/api/admin/audit", Admin, 0, true, a.listAudit},
		{"GET", "/api/admin/audit/verify", Admin, 0, true, a.verifyAudit},
		{"POST", "/api/admin/provider-configs", Admin, 0, false, a.createProvider},
		{"GET", "/api/admin/provider-configs", Admin, 0, false, a.listProviders},
		{"GET", "/api/admin/provider-configs/{id}", Admin, 0, false, a.getProvider},
		{"PATCH", "/api/admin/provider-configs/{id}", Admin, 0, false, a.changeProvider},
		{"DELETE", "/api/admin/provider-configs/{id}", Admin, 0, false, a.deleteProvider},
		{"POST", "/api/admin/provider-configs/{id}/rotate-callback", Admin, 0, false, a.rotateCallback},
		{"POST", "/api/admin/provider-configs/{id}/verify", Admin, 0, false, a.verifyProvider},
		{"POST", "/api/admin/provider-configs/{id}/test", Admin, 0, false, a.testProvider},
	}
}

// webhookRoutes are those of webhook endpoints and what is posted to them.
func (a *API) webhookRoutes() []Route {
	return []Route{
		{"GET", "/api/v1/webhooks", AnApp, comm.ScopeProviders, false, a.listEndpoints},
		{"POST", "/api/v1/webhooks", AnApp, comm.ScopeProviders, false, a.createEndpoint},
		{"GET", "/api/v1/webhooks/{id}", AnApp, comm.ScopeProviders, false, a.getEndpoint},
		{"PATCH", "/api/v1/webhooks/{id}", AnApp, comm.ScopeProviders, false, a.changeEndpoint},
		{"DELETE", "/api/v1/webhooks/{id}", AnApp, comm.ScopeProviders, false, a.deleteEndpoint},
		{"POST", "/api/v1/webhooks/{id}/rotate-secret", AnApp, comm.ScopeProviders, false, a.rotateSecret},
		{"POST", "/api/v1/webhooks/{id}/test", AnApp, comm.ScopeProviders, false, a.testEndpoint},
		{"POST", "/api/v1/webhooks/{id}/replay", AnApp, comm.ScopeProviders, false, a.replayDeliveries},
		{"GET", "/api/v1/webhooks/{id}/deliveries", AnApp, comm.ScopeProviders, true, a.listDeliveries},
		{"GET", "/api/v1/webhooks/{id}/deliveries/{delivery}", AnApp, comm.ScopeProviders, false, a.getDelivery},
		{"POST", "/api/v1/webhooks/{id}/deliveries/{delivery}/replay", AnApp, comm.ScopeProviders, false, a.replayDelivery},
	}
}

// Routes lists what is served, for documentation and tests.
func (a *API) Routes() []Route { return a.routes() }
