# METADATA
# title: What may be published
# description: |
#   A table leaves only if it stands in the publication plan, counts at least eleven people in every
#   cell it shows, carries nothing about one person, and withstood the hub's own attacker. It is
#   open to everyone unless an exception is cited, and one that would show an operator's business
#   must be restricted. This policy sees facts about the table and never a row of it.
package hub.release_publish

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": obligations} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: The fewest people a published cell may count
least_people := 11

# METADATA
# title: Columns that would name or single out a person, whatever the table
never_published := [
	"bucket", "card", "digest", "email", "name_of_person", "participant", "pseudonym", "reference",
	"subject", "token", "token_id", "transaction", "trip",
]

# METADATA
# title: Only the hub's worker publishes; nobody hands in a table from outside
refused contains "not_the_worker" if not by_the_worker

by_the_worker if input.actor.role == "worker"

# METADATA
# title: The measure, its period and its plan are named
refused contains "release_unnamed" if not release_named

release_named if {
	lib.named(input.release.measure)
	lib.named(input.release.period)
	lib.named(input.release.plan_version)
}

# METADATA
# title: The measure stands in the publication plan
refused contains "not_in_plan" if not planned

planned if input.release.in_plan == true

# METADATA
# title: The attacker learned nothing
refused contains "certificate_failed" if not certified

certified if input.release.certificate_ok == true

# METADATA
# title: No cell shown counts fewer than eleven people
refused contains "too_few_people" if not enough_people

enough_people if lib.at_least(input.release.k_min, least_people)

# METADATA
# title: The table shows something, and no more cells are withheld than it has
refused contains "nothing_to_publish" if not something_shown

something_shown if shows(input.release.rows, input.release.suppressed_rows)

shows(rows, withheld) if {
	lib.within(withheld, 0, rows)
	withheld != rows
}

# METADATA
# title: No column about one person
refused contains "personal_columns" if not columns_impersonal

columns_impersonal if {
	input.release.personal_columns == []
	lib.all_named(input.release.columns)
	count(personal_names) == 0
}

personal_names := [column |
	some column in input.release.columns
	column in never_published
]

# METADATA
# title: A withheld cell says nothing of its size
refused contains "suppressed_carries_class" if not suppressed_say_nothing

suppressed_say_nothing if input.release.suppressed_carry_class == false

# METADATA
# title: No source is joined with another where its agreement forbids it
# description: Sources are the partners' datasets about people that the table is computed from.
refused contains "join_forbidden" if not joins_allowed

joins_allowed if kept_apart(input.release.sources, input.release.never_joined)

kept_apart(sources, never_joined) if {
	never_joined == []
	sources == []
}

kept_apart(sources, never_joined) if {
	never_joined == []
	lib.all_named(sources)
}

kept_apart(sources, never_joined) if {
	never_joined == sources
	count(sources) == 1
	lib.all_named(sources)
}

# METADATA
# title: The protection asked for is one there is
# description: By the agreements of its datasets and by the publication plan; the strictest holds.
refused contains "protection_unknown" if not protection_known

protection_known if protection

protection := lib.strictest(input.release.protections_asked)

# METADATA
# title: The table is protected at least as asked for
refused contains "protection_too_weak" if not protected_enough

protected_enough if lib.protects(input.release.protection, protection)

# METADATA
# title: The exceptions for which a release may be restricted
exceptions := ["business_secret"]

# METADATA
# title: Open to everyone, or restricted by an exception that is cited
refused contains "exception_missing" if not openness_grounded

openness_grounded if {
	input.release.open == true
	input.release.exception == null
}

openness_grounded if {
	input.release.open == false
	input.release.exception in exceptions
}

# METADATA
# title: No open table shows the business of one operator
# description: |
#   An operator is shown where it makes up at least the dominant part of a published cell, and its
#   agreement asks for business secrecy. Such a table is restricted, whatever else it is.
refused contains "business_secret_shown" if not no_business_shown

no_business_shown if input.release.operators_shown == []

no_business_shown if {
	input.release.open == false
	lib.all_named(input.release.operators_shown)
}

# METADATA
# title: What goes with the release
# description: The manifest stands beside the data; a published table is never changed in place.
obligations := terms

terms["immutable"] := true

terms["least_people"] := least_people

terms["manifest"] := true

terms["protection"] := protection

# METADATA
# title: A restricted release is handed out under approved requests only
terms["on_request_only"] if input.release.open == false
