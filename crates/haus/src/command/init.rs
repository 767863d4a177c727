//! `haus init`: a commented plan file that checks clean and runs.

use crate::arguments::Init;
use crate::exit::{Code, DONE, Failure, REFUSED, WRONG_USE};
use crate::terminal;
use std::io::Write;
use std::path::Path;

pub(crate) fn cmd_init(arguments: &Init) -> Result<Code, Failure> {
    let folder = &arguments.folder;
    let failed = |error: &std::io::Error| {
        Failure::new(WRONG_USE, format!("cannot make a house in {}: {error}", folder.display()))
            .hint("choose a folder that this account may write to")
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let absolute = std::path::absolute(folder).map_err(|error| failed(&error))?;
    let path = folder.join("house.yaml");
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::new(REFUSED, format!("{} is already there", path.display()))
                .hint("choose another folder, or check it with `haus check`"));
        }
        Err(error) => return Err(failed(&error)),
    };
    file.write_all(haus_houseplan::starter(&name_from(&absolute)).as_bytes())
        .map_err(|error| failed(&error))?;
    let shown = folder.display();
    terminal::line(&format!("wrote {}", path.display()));
    terminal::line(&format!("next: haus check {shown} && haus up {shown}"));
    Ok(DONE)
}

/// A house name from the folder's name, or `home`.
fn name_from(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = words.join("-");
    if name.parse::<haus_model::HouseName>().is_ok() { name } else { "home".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_name_becomes_a_house_name() {
        for (folder, expected) in
            [("/srv/My House", "my-house"), ("/", "home"), ("/srv/2nd", "home"), ("/a/b_c", "b-c")]
        {
            assert_eq!(name_from(Path::new(folder)), expected, "{folder}");
        }
    }
}
