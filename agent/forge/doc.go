// Package forge speaks with the forge that a repository is on: Gitea and Forgejo, GitHub, GitLab.
//
// In goes where the repository is and a token; out come pull requests, reviews and who is in a team,
// and in go commit statuses, one comment that is kept up to date, and pull requests of ours. What is
// asked for again and has not changed costs a conditional request. It waits for no rate limit: the
// error says when to come back. No token gets into an error. What people write is handed on as it is:
// a title or a branch of a pull request is not to be trusted.
//
// [Open] makes a [Forge] without asking the forge anything, and [Forges] keeps those that Repositories
// name, with the Secrets that they are opened with. Every error of a Forge is an [*Error],
// whose [Kind] says what to do and whose sentence names the repository, what was tried, what is
// wrong and which right of the token is missing on that forge.
//
// # Calls
//
// Requests that the forge counts, for what the methods of [Forge] do. A read that has not changed is
// answered with 304 and costs GitHub's limit nothing; Gitea has no ETags. A page is 50 pull requests
// (GitLab: 20, whose descriptions may be long) or 100 of anything else (Gitea: 50).
//
//	Pulls                 one a page, at most 1,000 pull requests
//	Pull                  1 (Gitea: 2 if it is merged)
//	PullOf                1 (Gitea: 2)
//	MergeBase             1; Gitea: one a page of the commits that the head has and the base has
//	                      not; as many again of the base where it was merged into the head
//	Reviews               one a page; GitHub: one more for each person that approved; GitLab: 2,
//	                      and its notes where it does not say when somebody approved
//	TeamHas               1 (Gitea: 2); GitHub: one more for somebody who is not in it
//	Self                  1, once
//	SetStatus             1
//	Comment               the pages up to the comment until it was found once, and 1 if it is not the same
//	Open                  1, and 1 for labels (Gitea: their pages and one for each that is new);
//	                      one more if the pull request was there
//	Edit                  1, and 1 if text, labels or readiness differ (GitHub: one for each)
//	Close                 1, and 1 if it is open
//	Merge                 1; one more if the forge refuses
//	DeleteBranch          1, and 1 if the branch is there
//
// # One transport
//
// The libraries of the forges make requests and read answers; everything else is done below them,
// for all in the same way. Requests go to the forge's own address only, and only there the token is
// added: a redirect to another host is not followed. Answers are read up to 32 MiB. What may be done
// twice is tried three times if the connection breaks or the forge answers with 5xx, the forge's
// Retry-After is kept if it is short. After a rate limit no request is made until it is over. A call
// takes two minutes at most, the context may say less.
package forge
