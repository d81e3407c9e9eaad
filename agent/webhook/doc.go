// Package webhook receives the hooks of forges: something was pushed, a pull request changed.
//
// What goes in: POST /hooks/{namespace}/{name}, where the two name a Repository, from Gitea and
// Forgejo, GitHub, GitLab, or anybody who signs as the receivers of Flux want it (generic-hmac).
// What comes out: an [Event] that says to look at the remote now, and which pull requests changed.
// What its Handler never does: wait for anybody, call a server, believe what a hook says, or put
// something of a request that is not signed into an answer.
//
// [Receivers] know the Repositories that take hooks, and their secrets, and pass on what hooks ask for.
//
// # What a hook can do
//
// It makes the agent look earlier than it would have anyway. What is there, the agent then asks the
// remote itself: no commit, no title and no name out of a hook goes any further than this package,
// the number of a pull request excepted. So whoever knows the secret can make the agent look, as
// often as the limits below allow, and can do nothing else. A hook that is lost, be it since it
// was refused or since the agent stopped, costs time until the next look by spec.interval.
//
// # Who is let in
//
// The forge is told by its headers. The signature is checked in constant time over the bytes
// of the body, before anything reads them:
//
//	Gitea, Forgejo  X-Gitea-Event, X-Forgejo-Event   X-Gitea-Signature, X-Forgejo-Signature, X-Hub-Signature-256
//	GitLab          X-Gitlab-Event                   webhook-signature for a signing token (whsec_…), or else X-Gitlab-Token
//	GitHub          X-GitHub-Event                   X-Hub-Signature-256
//	generic                                          X-Signature: sha256=…
//
// Gitea comes first because it sends GitHub's headers too. X-Gitlab-Token is no signature but the
// secret itself. A generic hook only says that something was pushed; its body may be anything.
//
// A Repository that is not there, has no receiver or has an empty secret is answered as one whose
// signature is wrong: the same work is done with a secret nobody knows. So nobody learns here which
// Repositories exist. The operator does, from the log, a line a minute for each reason, and from
// the metric sluice_hooks_total.
//
// # Replays
//
// Of each Repository the last deliveries that were accepted are remembered, by their id and by what
// was signed, the body; so a copy under another id is known too. A copy is answered 200 and
// does nothing. One that is older than what is remembered does what every hook does: a look. With
// X-Gitlab-Token only the id is remembered, where there is one: two pushes may well have the same
// body, and who has seen one hook has the secret, and needs no copies. A signing token of GitLab's
// also dates the delivery: more than five minutes away from our clock it is refused. Generic hooks
// may have the same body each time, so that they cannot be told from copies. They all count, and
// merge. Each replica of the agent remembers for itself.
//
// # Limits
//
// A body is read up to 1 MiB. 64 requests are under way at once, 8 of them for one Repository,
// and those that are too many are told to come again; this comes before the signature, since it
// bounds memory. Hooks that are signed take from a bucket of their Repository, 50 at once and 5 a
// second, so that nobody empties it for others. Events wait in a [Mailbox], at most one for each
// Repository, into which later ones are merged. [Server] bounds connections, headers and the time of
// clients that are slow. Who opens many connections to many paths can still be in the way
// of others, for as long as it goes on; a limit by address belongs into the Ingress.
package webhook
