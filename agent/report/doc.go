// Package report writes what a merge would do, as the comment on its pull request says it.
//
// In goes a [Report]: the plans of the overlays that a pull request touches, what is wrong with
// them, and the models it promotes. Out come Markdown that GitHub, Gitea and GitLab show alike, one
// sentence for the commit status, and whether it is good or bad. After the merge, a [Merge] says in
// the same way what became of it. A [Proposal] is a pull request that the agent opens itself: its
// title, its body, and why it is a draft.
//
// What comes from Git is text and stays text: it is shown in code, or word by word where nothing in
// it means anything to a forge. It makes no link, image, heading or HTML, mentions nobody, refers to
// no issue and ends no fence. What has the form of a secret is masked, wherever it is; the fields of
// objects are masked already where they come from, see package plan.
//
// A text that is too long for the forge is made shorter as a whole, never cut: first the diffs go,
// then the names, then the overlays; what was left out is said, with the command that shows it.
package report
