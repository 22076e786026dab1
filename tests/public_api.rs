//! The public items of the library are those in `docs/public-api.txt`, so that whoever changes them sees it and says so.
//!
//! The sources are read, not compiled: items of all features are listed, and what macros make is not.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, Signature, TraitItem, Type, UseTree, Visibility};

/// A module as `client::http`; the crate itself is the empty text.
type Module = String;

/// Where an item is defined: its module and its name.
type Definition = (Module, String);

#[derive(Default)]
struct Sources {
    modules: BTreeMap<Module, Vec<Item>>,
    public: BTreeSet<Module>,
}

fn below(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && {
            let condition = attribute.meta.to_token_stream().to_string();
            condition.contains("(test") || condition.contains("doctest")
        }
    })
}

/// The name, visibility and attributes of what can be public.
fn named(item: &Item) -> Option<(String, &Visibility, &[Attribute])> {
    let (ident, visibility, attributes) = match item {
        Item::Const(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Enum(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Fn(item) => (&item.sig.ident, &item.vis, &item.attrs),
        Item::Static(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Struct(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Trait(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Type(item) => (&item.ident, &item.vis, &item.attrs),
        _ => return None,
    };
    Some((ident.to_string(), visibility, attributes))
}

/// The names that a `use` brings, each with the path to it.
fn imports(tree: &UseTree, path: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let extended = |name: String| [path, &[name]].concat();
    match tree {
        UseTree::Path(tree) => imports(&tree.tree, &extended(tree.ident.to_string()), found),
        UseTree::Name(tree) => found.push((tree.ident.to_string(), extended(tree.ident.to_string()))),
        UseTree::Rename(tree) => found.push((tree.rename.to_string(), extended(tree.ident.to_string()))),
        UseTree::Group(group) => group.items.iter().for_each(|tree| imports(tree, path, found)),
        UseTree::Glob(_) => found.push(("*".to_owned(), path.to_vec())),
    }
}

impl Sources {
    fn read(source: &Path) -> Self {
        let mut sources = Self::default();
        sources.public.insert(Module::new());
        sources.read_module(&source.join("lib.rs"), source, "");
        sources
    }

    fn read_module(&mut self, file: &Path, directory: &Path, module: &str) {
        let text = std::fs::read_to_string(file).unwrap();
        let items = syn::parse_file(&text).unwrap().items;
        self.take(items, directory, module);
    }

    fn take(&mut self, items: Vec<Item>, directory: &Path, module: &str) {
        let mut own = Vec::new();
        for item in items {
            match item {
                Item::Mod(item) if is_for_tests(&item.attrs) => {}
                Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let path = below(module, &name);
                    if is_public(&item.vis) && self.public.contains(module) {
                        self.public.insert(path.clone());
                    }
                    let inside = directory.join(&name);
                    match item.content {
                        Some((_, items)) => self.take(items, &inside, &path),
                        None => {
                            let files: [PathBuf; 2] = [directory.join(format!("{name}.rs")), inside.join("mod.rs")];
                            self.read_module(files.iter().find(|file| file.exists()).unwrap(), &inside, &path);
                        }
                    }
                }
                item => own.push(item),
            }
        }
        self.modules.insert(module.to_owned(), own);
    }

    /// Where the item of this name in this module is defined; `None` where it is another crate's.
    fn resolve(&self, module: &str, name: &str) -> Option<Definition> {
        let items = self.modules.get(module)?;
        if items.iter().filter_map(named).any(|(known, ..)| known == name) {
            return Some((module.to_owned(), name.to_owned()));
        }
        let mut found = Vec::new();
        for item in items {
            if let Item::Use(item) = item {
                imports(&item.tree, &[], &mut found);
            }
        }
        let (_, path) = found.iter().find(|(known, _)| known == name)?;
        self.follow(module, path)
    }

    fn follow(&self, module: &str, path: &[String]) -> Option<Definition> {
        let (last, way) = path.split_last()?;
        let mut at = module.to_owned();
        for (index, part) in way.iter().enumerate() {
            at = match part.as_str() {
                "crate" => Module::new(),
                "self" => at,
                "super" => at.rsplit_once("::").map_or(Module::new(), |(parent, _)| parent.to_owned()),
                name if index > 0 || self.modules.contains_key(&below(&at, name)) => below(&at, name),
                _ => return None,
            };
        }
        self.resolve(&at, last)
    }

    /// Everything that users can name, by where it is defined: the names, shortest first.
    fn reachable(&self) -> BTreeMap<Definition, Vec<String>> {
        let mut reachable: BTreeMap<Definition, Vec<String>> = BTreeMap::new();
        for module in &self.public {
            for item in &self.modules[module] {
                if let Some((name, visibility, attributes)) = named(item)
                    && is_public(visibility)
                    && !is_for_tests(attributes)
                {
                    reachable.entry((module.clone(), name.clone())).or_default().push(below(module, &name));
                }
                if let Item::Use(item) = item
                    && is_public(&item.vis)
                {
                    let mut found = Vec::new();
                    imports(&item.tree, &[], &mut found);
                    for (name, path) in found {
                        assert_ne!(name, "*", "`pub use` in {module} names what it takes");
                        let definition = self.follow(module, &path);
                        let definition = definition.unwrap_or_else(|| panic!("{module} re-exports {path:?}"));
                        reachable.entry(definition).or_default().push(below(module, &name));
                    }
                }
            }
        }
        for names in reachable.values_mut() {
            names.sort_by_key(|name| (name.matches("::").count(), name.clone()));
        }
        reachable
    }

    fn lines(&self) -> Vec<String> {
        let reachable = self.reachable();
        let mut lines = BTreeSet::new();
        for ((module, name), names) in &reachable {
            let path = &names[0];
            for other in &names[1..] {
                lines.insert(format!("{other} = {path}"));
            }
            let is_it = |item: &&Item| named(item).is_some_and(|(known, ..)| known == *name);
            for item in self.modules[module].iter().filter(is_it) {
                describe(item, path, &mut lines);
            }
        }
        for (module, items) in &self.modules {
            for item in items {
                let Item::Impl(item) = item else { continue };
                let Type::Path(of) = &*item.self_ty else { continue };
                let way: Vec<String> = of.path.segments.iter().map(|part| part.ident.to_string()).collect();
                let definition = self.follow(module, &way);
                if let Some(names) = definition.and_then(|definition| reachable.get(&definition)) {
                    describe_impl(item, &names[0], &mut lines);
                }
            }
        }
        lines.into_iter().collect()
    }
}

/// Source text in one line, spaced nearly as rustfmt does.
fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" :", ":"),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
        (",)", ")"),
        ("->(", "-> ("),
        (",(", ", ("),
        (":(", ": ("),
        (" ;", ";"),
    ] {
        text = text.replace(from, to);
    }
    text
}

fn derives(attributes: &[Attribute]) -> String {
    let mut derived = Vec::new();
    let mut open = "";
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            derived.push(text(&attribute.meta.require_list().unwrap().tokens));
        }
        if attribute.path().is_ident("non_exhaustive") {
            open = ", may grow";
        }
    }
    if derived.is_empty() && open.is_empty() { String::new() } else { format!(" ({}{open})", derived.join(", ")) }
}

fn function(signature: &Signature, path: &str) -> String {
    format!("{path}: {}", text(signature))
}

fn fields(fields: &Fields, path: &str, all: bool, lines: &mut BTreeSet<String>) {
    for (index, field) in fields.iter().enumerate() {
        if all || is_public(&field.vis) {
            let name = field.ident.as_ref().map_or_else(|| index.to_string(), ToString::to_string);
            lines.insert(format!("{path}.{name}: {}", text(&field.ty)));
        }
    }
}

fn describe(item: &Item, path: &str, lines: &mut BTreeSet<String>) {
    match item {
        Item::Const(item) => drop(lines.insert(format!("{path}: const {}", text(&item.ty)))),
        Item::Static(item) => drop(lines.insert(format!("{path}: static {}", text(&item.ty)))),
        Item::Type(item) => drop(lines.insert(format!("{path}: type{} = {}", text(&item.generics), text(&item.ty)))),
        Item::Fn(item) => drop(lines.insert(function(&item.sig, path))),
        Item::Struct(item) => {
            lines.insert(format!("{path}: struct{}{}", text(&item.generics), derives(&item.attrs)));
            fields(&item.fields, path, false, lines);
        }
        Item::Enum(item) => {
            lines.insert(format!("{path}: enum{}{}", text(&item.generics), derives(&item.attrs)));
            for variant in &item.variants {
                let path = format!("{path}::{}", variant.ident);
                lines.insert(format!("{path}: variant{}", derives(&variant.attrs)));
                fields(&variant.fields, &path, true, lines);
            }
        }
        Item::Trait(item) => {
            lines.insert(format!("{path}: trait{}: {}", text(&item.generics), text(&item.supertraits)));
            for item in &item.items {
                match item {
                    TraitItem::Fn(item) => {
                        let provided = if item.default.is_some() { " (provided)" } else { "" };
                        lines.insert(function(&item.sig, &format!("{path}::{}", item.sig.ident)) + provided);
                    }
                    TraitItem::Const(item) => {
                        lines.insert(format!("{path}::{}: const {}", item.ident, text(&item.ty)));
                    }
                    TraitItem::Type(item) => {
                        lines.insert(format!("{path}::{}: type: {}", item.ident, text(&item.bounds)));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn describe_impl(item: &ItemImpl, path: &str, lines: &mut BTreeSet<String>) {
    if is_for_tests(&item.attrs) {
        return;
    }
    if let Some((_, of, _)) = &item.trait_ {
        lines.insert(format!("{path}: is {}", text(of)));
        return;
    }
    for inner in &item.items {
        match inner {
            ImplItem::Fn(inner) if is_public(&inner.vis) && !is_for_tests(&inner.attrs) => {
                lines.insert(function(&inner.sig, &format!("{path}::{}", inner.sig.ident)));
            }
            ImplItem::Const(inner) if is_public(&inner.vis) => {
                lines.insert(format!("{path}::{}: const {}", inner.ident, text(&inner.ty)));
            }
            _ => {}
        }
    }
}

#[test]
fn the_public_api_is_the_one_that_was_reviewed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let snapshot = root.join("docs/public-api.txt");
    let lines = Sources::read(&root.join("src")).lines();
    let found = lines.join("\n") + "\n";
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::File::create(&snapshot)
            .and_then(|mut file| std::io::Write::write_all(&mut file, found.as_bytes()))
            .unwrap();
        return;
    }
    let reviewed = std::fs::read_to_string(&snapshot).unwrap_or_default();
    let reviewed: BTreeSet<&str> = reviewed.lines().collect();
    let found: BTreeSet<&str> = found.lines().collect();
    let gone = reviewed.difference(&found).map(|line| format!("- {line}"));
    let new = found.difference(&reviewed).map(|line| format!("+ {line}"));
    let changes: Vec<String> = gone.chain(new).collect();
    assert!(
        changes.is_empty(),
        "the public API is not that of docs/public-api.txt:\n{}\nIf this is meant, run \
         `UPDATE=1 cargo test --test public_api`, review the difference, and name it in CHANGELOG.md.",
        changes.join("\n")
    );
}

#[test]
fn items_are_found_where_users_find_them() {
    let lines = Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).lines();
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    for start in [
        "client::Updater: struct",
        "client::Updater::find: async fn find(&mut self, path: &TargetPath)",
        // An `impl` in another file than its type, and two types of one name.
        "client::Updater::look_up: async fn",
        "client::blocking::Updater::look_up: fn",
        "client::Mirror.metadata_url: SafeUrl",
        "client::UpdateError::NoMirror: variant",
        "client::Store::settle: fn",
        "trust::verify: fn",
    ] {
        assert!(has(start), "{start} is not listed");
    }
    for start in ["client::updater::", "client::Updater.settings", "client::Updater::commit", "client::Meter"] {
        assert!(!has(start), "{start} is private");
    }
}
