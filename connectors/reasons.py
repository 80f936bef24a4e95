"""Why a row or a file is refused, in words a partner can act on: the one closed list.

Each entry is `code: (French, English)`. The words name what to change, never what was found in the
file. Codes stand in receipts and in the quarantine, so they are never renamed, only added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    # The file as a whole
    "empty_file": (
        "Le fichier est vide. Refaites l'export et vérifiez sa taille avant l'envoi.",
        "The file is empty. Export again and check its size before sending.",
    ),
    "truncated": (
        "Le fichier ou la ligne s'arrête au milieu d'une donnée. Renvoyez le fichier complet.",
        "The file or line stops in the middle of a value. Send the complete file again.",
    ),
    "wrong_format": (
        "Ce n'est pas le format publié pour ce jeu de données. Vérifiez le fichier choisi.",
        "This is not the format published for this dataset. Check which file was chosen.",
    ),
    "wrong_dataset": (
        "Cette colonne appartient à un autre jeu de données. Envoyez le fichier à ce jeu-là.",
        "This column belongs to another dataset. Send the file to that dataset.",
    ),
    "wrong_delimiter": (
        "Le séparateur de colonnes n'est pas celui du format publié. Corrigez l'export.",
        "The column separator is not the published one. Correct the export.",
    ),
    "wrong_encoding": (
        "Le texte n'est pas dans l'encodage publié. Exportez en UTF-8.",
        "The text is not in the published encoding. Export as UTF-8.",
    ),
    "wrong_line_ending": (
        "Les lignes ne se terminent pas par un saut de ligne (LF ou CRLF). Corrigez l'export.",
        "Lines do not end with a line feed (LF or CRLF). Correct the export.",
    ),
    "wrong_column_map": (
        "La correspondance de colonnes du territoire ne convient pas : à l'opérateur de corriger.",
        "The territory's column map does not fit this dataset: for the operator to correct.",
    ),
    "missing_column": (
        "Une colonne obligatoire manque dans l'en-tête. Ajoutez-la sous son nom publié.",
        "A required column is missing from the header. Add it under its published name.",
    ),
    "duplicate_column": (
        "Une colonne figure deux fois dans l'en-tête. N'en gardez qu'une.",
        "A column stands twice in the header. Keep one.",
    ),
    "line_too_long": (
        "Une ligne ou un document dépasse la taille permise. Vérifiez les sauts de ligne.",
        "A line or document is longer than allowed. Check the line breaks.",
    ),
    "corrupt_archive": (
        "L'archive est endommagée. Recréez-la et renvoyez-la.",
        "The archive is damaged. Make it again and send it again.",
    ),
    "unsafe_archive": (
        "L'archive contient un chemin, un lien ou un chiffrement refusé. Recréez-la à plat.",
        "The archive holds a refused path, link or encryption. Make it again, flat.",
    ),
    "expands_too_much": (
        "Une fois décompressé, le contenu dépasse la limite. Envoyez-le en plusieurs fichiers.",
        "Decompressed, the content is over the limit. Send it in several files.",
    ),
    "missing_table": (
        "Un fichier obligatoire manque dans l'archive. Ajoutez-le.",
        "A required file is missing from the archive. Add it.",
    ),
    "duplicate_table": (
        "Un fichier figure deux fois dans l'archive. N'en gardez qu'un.",
        "A file stands twice in the archive. Keep one.",
    ),
    "unreadable_table": (
        "Une table de l'archive n'est pas un CSV conforme au GTFS. Validez le flux puis renvoyez.",
        "A table of the archive is not CSV as GTFS has it. Validate the feed, then send again.",
    ),
    "mostly_rejected": (
        "Plus de la moitié des lignes, ou plus de 250 000, sont refusées : rien n'est gardé. "
        "Corrigez la première raison indiquée, puis renvoyez le fichier entier.",
        "More than half of the rows, or more than 250,000, are refused: nothing is kept. "
        "Correct the first reason given, then send the whole file again.",
    ),
    # Documents
    "invalid_json": (
        "Le document n'est pas du JSON valide (NaN et Infinity n'en sont pas). Corrigez l'export.",
        "The document is not valid JSON (NaN and Infinity are not). Correct the export.",
    ),
    "too_deep": (
        "Le document est imbriqué trop profondément pour ce format.",
        "The document is nested too deeply for this format.",
    ),
    "duplicate_key": (
        "Une clé figure deux fois dans le document : on ne sait laquelle croire.",
        "A key stands twice in the document: which one to believe is unknown.",
    ),
    # Rows
    "wrong_column_count": (
        "La ligne n'a pas autant de colonnes que l'en-tête. Vérifiez séparateurs et guillemets.",
        "The row has not as many columns as the header. Check separators and quotes.",
    ),
    "unbalanced_quote": (
        "Un guillemet ouvert n'est pas refermé. Doublez les guillemets contenus dans un texte.",
        "A quote is opened and not closed. Double the quotes inside a text.",
    ),
    "nul_byte": (
        "La ligne contient un octet nul. Vérifiez l'outil d'export.",
        "The line holds a NUL byte. Check the export tool.",
    ),
    "control_character": (
        "La ligne contient un retour chariot isolé. Vérifiez l'outil d'export.",
        "The line holds a lone carriage return. Check the export tool.",
    ),
    "missing_identifier": (
        "La référence de la personne ou de la carte est vide. Renseignez-la ou retirez la ligne.",
        "The reference of the person or card is blank. Give it or remove the row.",
    ),
    "missing_value": (
        "Une valeur obligatoire est vide. Renseignez-la.",
        "A required value is blank. Give it.",
    ),
    "unknown_value": (
        "La valeur n'est pas dans la liste publiée pour cette colonne. Prenez-en une de la liste, "
        "ou faites inscrire la correspondance de vos mots.",
        "The value is not in the list published for this column. Take one of the list, or have "
        "your own words entered in the column map.",
    ),
    "unknown_mode": (
        "Le mode de transport n'est pas dans la liste de l'application : compté comme UNKNOWN.",
        "The transport mode is not in the app's list: counted as UNKNOWN.",
    ),
    "formula_cell": (
        "Un texte commence comme une formule de tableur : gardé tel quel. Vérifiez l'export.",
        "A text starts as a spreadsheet formula does: kept as it is. Check the export.",
    ),
    "wrong_type": (
        "La valeur n'a pas le type publié (nombre, texte, liste).",
        "The value has not the published type (number, text, list).",
    ),
    "not_a_number": (
        "La valeur n'est pas un nombre (point décimal, sans espace ni unité).",
        "The value is not a number (decimal point, no space, no unit).",
    ),
    "not_a_boolean": (
        "La valeur n'est ni vrai ni faux. Écrivez true, false, 1 ou 0.",
        "The value is neither true nor false. Write true, false, 1 or 0.",
    ),
    "wrong_date": (
        "La date n'existe pas ou n'est pas écrite AAAA-MM-JJ.",
        "The date does not exist or is not written YYYY-MM-DD.",
    ),
    "wrong_time": (
        "L'heure n'existe pas ou n'est pas écrite comme le format publié.",
        "The time does not exist or is not written as the published format has it.",
    ),
    "date_in_future": (
        "La date est dans le futur. Vérifiez l'horloge ou le fuseau de l'appareil.",
        "The date is in the future. Check the device's clock or time zone.",
    ),
    "date_too_old": (
        "La date précède l'an 2000. Vérifiez l'horloge de l'appareil.",
        "The date is before the year 2000. Check the device's clock.",
    ),
    "date_before_school_year": (
        "Une date précède l'année scolaire en cours : lignes gardées. Vérifiez la période choisie.",
        "A date is before the current school year: rows kept. Check the period chosen.",
    ),
    "end_before_start": (
        "La fin précède le début. Vérifiez les deux heures.",
        "The end is before the start. Check both times.",
    ),
    "impossible_value": (
        "La valeur ne peut exister (négative ou hors des bornes) et n'a pu être réparée.",
        "The value cannot exist (negative or out of bounds) and could not be repaired.",
    ),
    "section_repaired": (
        "Une durée ou une distance négative a été recalculée d'après les relevés du tronçon.",
        "A negative duration or distance was computed again from the section's readings.",
    ),
    "position_missing": (
        "La position manque ou vaut 0, 0. Renseignez longitude et latitude.",
        "The position is missing or is 0, 0. Give longitude and latitude.",
    ),
    "position_outside_world": (
        "La longitude ou la latitude est hors du globe (degrés, WGS 84).",
        "The longitude or latitude is off the globe (degrees, WGS 84).",
    ),
    "position_swapped": (
        "Longitude et latitude semblent inversées. Le format veut la longitude d'abord.",
        "Longitude and latitude look swapped. The format wants longitude first.",
    ),
    "far_from_commune": (
        "La position est loin de la commune indiquée : ligne gardée. Vérifiez l'une ou l'autre.",
        "The position is far from the commune given: row kept. Check one or the other.",
    ),
    "wrong_code": (
        "Le code (UAI, commune, année scolaire) n'a pas la forme publiée.",
        "The code (UAI, commune, school year) has not the published form.",
    ),
    "duplicate_row": (
        "Cette ligne porte un identifiant déjà lu dans le fichier. N'en gardez qu'une.",
        "This row carries an identifier already read in the file. Keep one.",
    ),
    "left_aside": (
        "Ces lignes ne sont pas de ce jeu de données (autre établissement, hors du territoire) : "
        "lues et laissées de côté, rien à faire.",
        "These rows are no part of this dataset (another kind of school, outside the territory): "
        "read and left aside, nothing to do.",
    ),
    "attached_section": (
        "Cette section est rattachée à un autre lycée : elle est comptée avec lui.",
        "This section belongs to another lycée: it is counted with it.",
    ),
    "below_source_floor": (
        "Le volume est sous le plancher de 20 de la source : il n'aurait pas dû être livré.",
        "The volume is under the source's floor of 20: it should not have been delivered.",
    ),
    "sent_again": (
        "Un envoi plus récent du même mois remplace cette ligne : elle est lue et non comptée.",
        "A later post of the same month replaces this row: it is read and not counted.",
    ),
    "unknown_school": (
        "Aucun lycée de l'annuaire, ou plus d'un, ne porte ce nom : ligne gardée sans code UAI.",
        "No lycée of the directory, or more than one, has this name: row kept without UAI.",
    ),
    "unknown_reference": (
        "La ligne renvoie à un identifiant absent de l'autre table.",
        "The row refers to an identifier that is not in the other table.",
    ),
}
