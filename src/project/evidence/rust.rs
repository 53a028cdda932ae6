//! Rust sources: found, parsed within bounds, and what attributes and macros hold.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Block, Expr, ExprLit, Item, Lit, Macro, Meta, MetaList, Stmt, Token};

/// Bytes of a source beyond which it is not read: such a file holds data.
pub(crate) const LARGEST: u64 = 5 << 20;

/// How deep a syntax tree may become: syn, its walkers and the tree's own drop recurse. Known sources stay below 3 000.
const DEEPEST: usize = 6_000;

/// What a pair of brackets counts for in that, as a parser comes by many of its functions to get into one.
const BRACKETS: usize = 20;

/// The stack that the deepest tree needs, with room to spare.
pub(super) const STACK: usize = 64 << 20;

/// Folders of a package whose code is in none of its binaries.
const NOT_BUILT: [&str; 4] = ["tests", "examples", "benches", "target"];

/// Does work that parses sources on a thread whose stack holds the deepest tree: the main thread's would end. Where no such
/// thread can be had there is no result.
pub(crate) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok()?;
        Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Parses a source file, unless its tree would be so deep as to end the stack.
pub(crate) fn parse(text: &str) -> Result<syn::File, String> {
    parse_named(text).map(|(file, _)| file)
}

/// [`parse`], with the name that the spans in it have for it.
pub(super) fn parse_named(text: &str) -> Result<(syn::File, String), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // A first line for the shell; `#![` begins an attribute.
    let shell = text.strip_prefix("#!").is_some_and(|rest| !rest.trim_start().starts_with('['));
    let commented;
    let text = if shell {
        commented = format!("//{text}");
        &commented
    } else {
        text
    };
    let place = |span: proc_macro2::Span| span.start().line;
    let tokens: TokenStream =
        text.parse().map_err(|error: proc_macro2::LexError| format!("line {}: {error}", place(error.span())))?;
    if too_deep(tokens.clone()) {
        return Err("it is nested too deeply".to_owned());
    }
    let name = tokens.clone().into_iter().next().map(|token| token.span().file()).unwrap_or_default();
    let file = syn::parse2(tokens).map_err(|error| format!("line {}: {error}", place(error.span())))?;
    Ok((file, name))
}

/// Whether the tree of some tokens might be deeper than [`DEEPEST`]: in a row without a separator, each token may go one
/// level down, as `!!!a` does.
fn too_deep(tokens: TokenStream) -> bool {
    let mut open = vec![(tokens.into_iter().peekable(), 0, 0)];
    while let Some((tokens, above, row)) = open.last_mut() {
        let Some(token) = tokens.next() else {
            open.pop();
            continue;
        };
        *row += 1;
        if *above + *row > DEEPEST {
            return true;
        }
        match token {
            TokenTree::Punct(mark) if [';', ','].contains(&mark.as_char()) => *row = 0,
            TokenTree::Group(group) => {
                let inner = *above + *row + BRACKETS;
                // A body ends what it belongs to; not `if {} else {}` and `match {}.call()`.
                let goes_on = match tokens.peek() {
                    Some(TokenTree::Ident(word)) => word == "else",
                    Some(TokenTree::Punct(mark)) => mark.as_char() != '#',
                    _ => false,
                };
                if group.delimiter() == Delimiter::Brace && !goes_on {
                    *row = 0;
                }
                open.push((group.stream().into_iter().peekable(), inner, 0));
            }
            _ => {}
        }
    }
    false
}

/// The Rust files below a folder, sorted, hidden folders left out; of a package's own folder also tests, examples,
/// benches and `target`. What cannot be listed holds none; links are not followed.
pub(crate) fn rust_files(dir: &Utf8Path, package: &Utf8Path) -> Vec<Utf8PathBuf> {
    rust_files_in(dir, package, &mut |_| {})
}

/// [`rust_files`]; `listed` hears of each directory before it is listed.
pub(super) fn rust_files_in(dir: &Utf8Path, package: &Utf8Path, listed: &mut dyn FnMut(&Utf8Path)) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        listed(&folder);
        let top = folder == package;
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (Ok(kind), Ok(path)) = (entry.file_type(), Utf8PathBuf::from_path_buf(entry.path())) else { continue };
            let name = path.file_name().unwrap_or_default();
            let skipped = name.starts_with('.') || top && NOT_BUILT.contains(&name);
            if kind.is_dir() && !skipped {
                folders.push(path);
            } else if kind.is_file() && path.extension() == Some("rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Visits attributes, with those that a `cfg_attr` holds put in its place; first the conditions of such.
pub(crate) fn each_meta(attributes: &[Attribute], visit: &mut dyn FnMut(&[Meta], &Meta)) {
    for attribute in attributes {
        unwrapped(&attribute.meta, &mut Vec::new(), visit);
    }
}

fn unwrapped(meta: &Meta, conditions: &mut Vec<Meta>, visit: &mut dyn FnMut(&[Meta], &Meta)) {
    let Meta::List(list) = meta else { return visit(conditions, meta) };
    let mut inner = metas_of(list).into_iter();
    if list.path.is_ident("cfg_attr") {
        let Some(condition) = inner.next() else { return };
        conditions.push(condition);
        inner.for_each(|meta| unwrapped(&meta, conditions, visit));
        conditions.pop();
    } else if list.path.is_ident("unsafe") {
        // Rust 2024 writes `#[unsafe(…)]` around some attributes.
        inner.for_each(|meta| unwrapped(&meta, conditions, visit));
    } else {
        visit(conditions, meta);
    }
}

/// The members of `name(…)`; none where they are anything but attributes.
pub(crate) fn metas_of(list: &MetaList) -> Vec<Meta> {
    let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    inner.map(|inner| inner.into_iter().collect()).unwrap_or_default()
}

/// The text in `key = "text"`.
pub(crate) fn text_of(meta: &Meta, key: &str) -> Option<String> {
    let Meta::NameValue(pair) = meta else { return None };
    if pair.path.is_ident(key) { string_of(&pair.value) } else { None }
}

/// The text of a literal.
pub(super) fn string_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// The expressions of `#[cfg(…)]` attributes.
pub(super) fn cfgs(attributes: &[Attribute]) -> Vec<Meta> {
    let lists = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => Some(list),
        _ => None,
    });
    lists.flat_map(metas_of).collect()
}

/// A `cfg` expression as people write it.
pub(super) fn cfg_text(meta: &Meta) -> String {
    let name = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
    match meta {
        Meta::Path(_) => name,
        Meta::NameValue(pair) => match string_of(&pair.value) {
            Some(value) => format!("{name} = {value:?}"),
            None => name,
        },
        Meta::List(list) => {
            let parts: Vec<String> = metas_of(list).iter().map(cfg_text).collect();
            format!("{name}({})", parts.join(", "))
        }
    }
}

/// A branch of `cfg_if!` or `cfg_select!`: when it is taken, and what it holds.
pub(super) struct Branch {
    /// All must hold.
    pub conditions: Vec<Meta>,
    /// What is between the braces.
    pub body: TokenStream,
}

/// The branches of a `cfg_if!` or `cfg_select!` call, whatever the macro is called; none of any other.
pub(super) fn branches(call: &Macro) -> Option<Vec<Branch>> {
    let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
    let parsed = match name.as_str() {
        "cfg_select" => select_branches.parse2(call.tokens.clone()),
        _ => if_branches.parse2(call.tokens.clone()),
    };
    let mut before: Vec<Meta> = Vec::new();
    let mut branches = Vec::new();
    for (condition, body) in parsed.ok()? {
        let negated = |meta: &Meta| syn::parse_str(&format!("not({})", cfg_text(meta))).ok();
        let mut conditions: Vec<Meta> = before.iter().filter_map(negated).collect();
        conditions.extend(condition.clone());
        before.extend(condition);
        branches.push(Branch { conditions, body });
    }
    Some(branches)
}

type Branches = Vec<(Option<Meta>, TokenStream)>;

/// `if #[cfg(…)] { … } else if #[cfg(…)] { … } else { … }`.
fn if_branches(input: ParseStream<'_>) -> syn::Result<Branches> {
    let mut list = Vec::new();
    while !input.is_empty() {
        if !list.is_empty() {
            input.parse::<Token![else]>()?;
        }
        let mut condition = None;
        // The first must have one, or any block would be a branch.
        if list.is_empty() || input.peek(Token![if]) {
            input.parse::<Token![if]>()?;
            condition = cfgs(&Attribute::parse_outer(input)?).into_iter().next();
        }
        list.push((condition, braced(input)?));
    }
    Ok(list)
}

/// `condition => { … } _ => { … }`.
fn select_branches(input: ParseStream<'_>) -> syn::Result<Branches> {
    let mut list = Vec::new();
    while !input.is_empty() {
        let otherwise = input.parse::<Option<Token![_]>>()?.is_some();
        let condition = if otherwise { None } else { Some(input.parse::<Meta>()?) };
        input.parse::<Token![=>]>()?;
        if input.peek(syn::token::Brace) {
            list.push((condition, braced(input)?));
        } else {
            let mut value = TokenStream::new();
            while !input.is_empty() && !input.peek(Token![,]) {
                value.extend([input.parse::<TokenTree>()?]);
            }
            list.push((condition, value));
        }
        input.parse::<Option<Token![,]>>()?;
    }
    Ok(list)
}

fn braced(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    let content;
    syn::braced!(content in input);
    content.parse()
}

/// The items in a macro call: those of `cfg_if!` and `cfg_select!`, each with the `#[cfg(…)]` that it stands under, or
/// items alone. None where it holds anything else, and of `macro_rules!`, whose body is code only where it is used.
pub(crate) fn items_of_macro(call: &Macro) -> Vec<Item> {
    if call.path.is_ident("macro_rules") {
        return Vec::new();
    }
    let Some(branches) = branches(call) else { return items_of(call.tokens.clone()).unwrap_or_default() };
    let mut found = Vec::new();
    for branch in branches {
        for mut item in items_of(branch.body).unwrap_or_default() {
            if let Some(attributes) = attributes_mut(&mut item) {
                attributes.extend(branch.conditions.iter().flat_map(cfg_attribute));
            }
            found.push(item);
        }
    }
    found
}

/// `#[cfg(condition)]`.
pub(super) fn cfg_attribute(condition: &Meta) -> Vec<Attribute> {
    Attribute::parse_outer.parse_str(&format!("#[cfg({})]", cfg_text(condition))).unwrap_or_default()
}

/// Tokens that are items and nothing else.
pub(super) fn items_of(tokens: TokenStream) -> Option<Vec<Item>> {
    let items = |input: ParseStream<'_>| {
        let mut list = Vec::new();
        while !input.is_empty() {
            list.push(input.parse::<Item>()?);
        }
        Ok(list)
    };
    items.parse2(tokens).ok()
}

/// Tokens that are statements.
pub(super) fn statements_of(tokens: TokenStream) -> Option<Vec<Stmt>> {
    Block::parse_within.parse2(tokens).ok()
}

/// The attributes of an item, of the kinds that matter here.
pub(super) fn attributes_mut(item: &mut Item) -> Option<&mut Vec<Attribute>> {
    Some(match item {
        Item::Const(item) => &mut item.attrs,
        Item::ExternCrate(item) => &mut item.attrs,
        Item::Fn(item) => &mut item.attrs,
        Item::ForeignMod(item) => &mut item.attrs,
        Item::Impl(item) => &mut item.attrs,
        Item::Macro(item) => &mut item.attrs,
        Item::Mod(item) => &mut item.attrs,
        Item::Static(item) => &mut item.attrs,
        Item::Trait(item) => &mut item.attrs,
        Item::Use(item) => &mut item.attrs,
        _ => return None,
    })
}

/// The same, to read.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
